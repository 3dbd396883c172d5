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
from paytrain.exchange.wires import WIRES, exact_for
from paytrain.exchange.wires.base import Wire
from paytrain.exchange.wires.residuals import Residuals


@dataclass(frozen=True)
class Summed:
    """The result of a round.

    Attributes
    ----------
    values
        Sum over all ranks, shape (elements,); of a world of one, the contribution itself.
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
    segments, window
        Slices of the vector that are exchanged independently; pieces of each that are read at once.
    prefix
        Beginning of all keys, unique to run, lap and attempt.
    wire
        How gradients travel.
    residuals
        What the lap before has not sent; None exactly if the wire has no residual.
    """

    def __init__(
        self,
        driver: Driver | None,
        *,
        pattern: str,
        segments: int,
        window: int = 2,
        prefix: str,
        rank: int,
        world_size: int,
        wire: str = "float32",
        residuals: Residuals | None = None,
    ) -> None:
        self._driver = driver
        self._wire = WIRES[wire]
        self._residuals = residuals
        self._pattern = PATTERNS[pattern]
        self._segments = segments
        self._window = window
        self._prefix = prefix
        self._rank = rank
        self._world_size = world_size
        self._round = 0

    def sum(self, values: NDArray[Any], tally: Tally, patience: Patience) -> Summed:
        """Sum a vector of float32 or float64 and its tally over all ranks, exactly and in rank order.

        Parameters
        ----------
        values
            This rank's contribution, shape (elements,); all ranks give the same shape.

        Raises
        ------
        PeerLost, ObjectLost, FrameError
            When the round cannot be completed; the attempt is lost then.
        """
        return self._sum(values, tally, patience, exact_for(values.dtype), None)

    def sum_gradient(self, values: NDArray[Any], tally: Tally, patience: Patience) -> Summed:
        """Sum like :meth:`sum`, but the vector travels on the run's wire; in a world of one nothing does."""
        return self._sum(values, tally, patience, self._wire, self._residuals)

    def _sum(
        self, values: NDArray[Any], tally: Tally, patience: Patience, wire: Wire, residuals: Residuals | None
    ) -> Summed:
        if self._driver is None:
            return Summed(values, tally)
        out = np.empty_like(values)
        members = [
            Member(
                self._rank,
                self._world_size,
                self._round,
                f"{self._prefix}/{self._round}/{segment}",
                values[part],
                out[part],
                tally,
                wire,
                segment,
                residuals,
                self._window,
            )
            for segment, part in enumerate(even_slices(values.size, self._segments))
        ]
        tallies: list[Tally] = self._driver.run([self._pattern(member) for member in members], patience)
        self._round += 1
        votes = 0
        for summed in tallies:
            votes |= summed.votes
        return Summed(out, Tally(tallies[0].samples, votes, tallies[0].metrics))
