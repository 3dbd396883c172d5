"""A member without numbers: only sizes, so that a world of a thousand workers fits into a laptop's memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from paytrain.exchange.frame import Tally
from paytrain.exchange.operations import Get, Put
from paytrain.exchange.patterns.member import Member
from paytrain.exchange.simulator.channels import Sized


@dataclass(frozen=True)
class PhantomMember(Member):
    """As the patterns see it, a member like others; its ``values`` have a size and no content."""

    def put(self, hop: int, slices: Sequence[slice]) -> Put:
        """An object of frames that are not there."""
        frames: list[Any] = [Sized(self.frame_bytes(each.stop - each.start)) for each in slices]
        return Put(self._key(hop, self.rank), frames, hop)

    def put_sum(self, hop: int, slices: Sequence[slice], tally: Tally) -> Put:
        """The same."""
        return self.put(hop, slices)

    def sum_of(self, part: slice) -> Any:
        """A sum of nothing."""
        return _NOTHING

    def resum(self, hop: int, part: slice, tally: Tally) -> Any:
        """The same."""
        return _NOTHING

    def accept(self, get: Get, data: Any, part: slice) -> Tally:
        """Nothing."""
        return _NO_TALLY


class _Nothing:
    def add_own(self) -> None:
        return

    def add(self, get: Get, data: Any) -> None:
        return

    @property
    def tally(self) -> Tally:
        return _NO_TALLY


_NOTHING = _Nothing()
_NO_TALLY = Tally(0, 0, np.zeros(0))
