"""The exchange as training sees it: one call that sums a vector over all ranks."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paytrain.exchange.driver import Driver, Patience
from paytrain.exchange.frame import Tally
from paytrain.exchange.patterns import PATTERNS
from paytrain.exchange.patterns.member import Member
from paytrain.exchange.segments import even_slices


@dataclass(frozen=True)
class Summed:
    """The result of a round.

    Attributes
    ----------
    values
        Sum over all ranks, shape (elements,); valid until the next round.
    tally
        Samples and metrics summed, votes OR-ed.
    """

    values: NDArray[Any]
    tally: Tally


class AllReduce:
    """All ranks' exchanges within one attempt of a lap.

    Parameters
    ----------
    driver
        Performs the patterns; None only when ``world_size`` is 1.
    prefix
        Beginning of all keys, unique to run, lap and attempt.
    """

    def __init__(
        self, driver: Driver | None, *, pattern: str, segments: int, prefix: str, rank: int, world_size: int
    ) -> None:
        self._driver = driver
        self._pattern = PATTERNS[pattern]
        self._segments = segments
        self._prefix = prefix
        self._rank = rank
        self._world_size = world_size
        self._round = 0
        self._buffers: dict[tuple[int, np.dtype], NDArray[Any]] = {}

    def sum(self, values: NDArray[Any], tally: Tally, patience: Patience) -> Summed:
        """Sum a vector and its tally over all ranks, in rank order.

        Parameters
        ----------
        values
            This rank's contribution, shape (elements,), of a wire's dtype; all ranks give the same shape.

        Raises
        ------
        PeerLost, ObjectLost, FrameError
            When the round cannot be completed; the attempt is lost then.
        """
        if self._driver is None:
            return Summed(values, tally)
        out = self._buffers.setdefault((values.size, values.dtype), np.empty_like(values))
        members = [
            Member(
                self._rank,
                self._world_size,
                self._round,
                f"{self._prefix}/{self._round}/{segment}",
                values[part],
                out[part],
                tally,
            )
            for segment, part in enumerate(even_slices(values.size, self._segments))
        ]
        tallies: list[Tally] = self._driver.run([self._pattern(member) for member in members], patience)
        self._round += 1
        votes = 0
        for summed in tallies:
            votes |= summed.votes
        return Summed(out, Tally(tallies[0].samples, votes, tallies[0].metrics))
