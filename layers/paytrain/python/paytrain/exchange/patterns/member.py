"""A rank's part in the exchange of one segment: what a pattern works with.

Patterns say which slice goes where and in which order; what happens to the numbers is said here. So the same
patterns run without any numbers in the simulator, where only sizes matter.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray
from typing_extensions import Buffer

from paytrain.channels.base import Part
from paytrain.exchange.frame import Frame, Tally, decode, encode, frame_bytes
from paytrain.exchange.operations import Get, Put
from paytrain.exchange.reduce import RankOrderSum
from paytrain.exchange.wires.base import Wire
from paytrain.exchange.wires.residuals import Residuals


@dataclass(frozen=True)
class Member:
    """One rank and one segment in one round.

    Attributes
    ----------
    rank, world_size
        As in MPI.
    round
        Number of the exchange within the lap.
    prefix
        Beginning of the segment's keys, unique to run, lap, attempt, round and segment.
    values
        This rank's contribution, shape (elements,).
    out
        Where the sum over all ranks goes, shape (elements,); not an alias of ``values``.
    tally
        What travels beside the values.
    wire
        How they travel, of their dtype.
    segment
        The segment's number.
    residuals
        This rank's, of all segments; None exactly if the wire has none.
    window
        Gets of a hop under way at once.
    """

    rank: int
    world_size: int
    round: int
    prefix: str
    values: NDArray[Any]
    out: NDArray[Any]
    tally: Tally
    wire: Wire
    segment: int = 0
    residuals: Residuals | None = None
    window: int = 2
    _encoded: dict[tuple[int, int, int], memoryview] = field(default_factory=dict, init=False)

    @property
    def peers(self) -> list[int]:
        """All ranks but this one, in order."""
        return [rank for rank in range(self.world_size) if rank != self.rank]

    @property
    def elements(self) -> int:
        """Length of the segment."""
        return int(self.values.size)

    def put(self, hop: int, slices: Sequence[slice]) -> Put:
        """Store slices of this rank's contribution, a frame each, as its object of a hop."""
        return self._put(hop, self.values, slices, self.tally)

    def put_sum(self, hop: int, slices: Sequence[slice], tally: Tally) -> Put:
        """Store slices of the sum, a frame each, as this rank's object of a hop; keep of them what others will read."""
        put = self._put(hop, self.out, slices, tally)
        if not self.wire.is_exact:
            for part in slices:
                self.wire.decode(self.encoded(hop, self.out, part), self.out[part])
        return put

    def get(self, hop: int, rank: int, elements: int) -> Get:
        """Read the only frame of a rank's object."""
        return self.get_part(hop, rank, Part(0, 0, self.frame_bytes(elements)))

    def get_part(self, hop: int, rank: int, part: Part) -> Get:
        """Read one frame of a rank's object."""
        return Get(self._key(hop, rank), part, rank, hop)

    def frame_bytes(self, elements: int) -> int:
        """Length in bytes of a frame with ``elements`` values."""
        return frame_bytes(elements, self.tally.metrics.size, self.wire)

    def sum_of(self, part: slice) -> "Sum":
        """Begin the sum of a slice of all ranks' contributions."""
        return Sum(self, part, self.encoded(0, self.values, part), self.tally)

    def resum(self, hop: int, part: slice, tally: Tally) -> "Sum":
        """Begin the sum of a slice of sums that travel in a hop, to which this rank's is a contribution."""
        own = self.encoded(hop, self.out, part)
        # The sum goes to the place of which an exact wire has only a view.
        return Sum(self, part, memoryview(bytes(own)) if self.wire.is_exact else own, tally)

    def accept(self, get: Get, data: Buffer, part: slice) -> Tally:
        """Take a slice of the sum from the frame that a get has brought."""
        frame = self.read(get, data, part.stop - part.start)
        self.wire.decode(frame.payload, self.out[part])
        return frame.tally

    def read(self, get: Get, data: Buffer, elements: int) -> Frame:
        """Decode a frame, and check that it is the one asked for."""
        return decode(
            data,
            name=_name(get.key, get.part.index),
            rank=get.rank,
            round_=self.round,
            elements=elements,
            metrics=self.tally.metrics.size,
            wire=self.wire,
        )

    def encoded(self, hop: int, vector: NDArray[Any], part: slice) -> memoryview:
        """A slice as this rank sends it in a hop; encoded once, since that changes the residual."""
        if self.wire.is_exact:
            return self.wire.encode(vector[part], None)
        key = hop, part.start, part.stop
        if key not in self._encoded:
            values = vector[part]
            residual = None
            if self.residuals is not None:
                residual = self.residuals.of(self.segment, hop, part.start, values.size)
            self._encoded[key] = self.wire.encode(values, residual)
        return self._encoded[key]

    def _put(self, hop: int, vector: NDArray[Any], slices: Sequence[slice], tally: Tally) -> Put:
        began = time.monotonic()
        key = self._key(hop, self.rank)
        frames = [
            encode(
                self.encoded(hop, vector, part),
                tally,
                wire=self.wire,
                elements=part.stop - part.start,
                name=_name(key, index),
                rank=self.rank,
                round_=self.round,
            )
            for index, part in enumerate(slices)
        ]
        return Put(key, frames, hop, time.monotonic() - began)

    def _key(self, hop: int, rank: int) -> str:
        return f"{self.prefix}/{hop}/{rank}"


class Sum:
    """The sum of a slice, added up in the order in which contributions are given.

    Parameters
    ----------
    part
        Where it goes in the member's ``out``.
    own, own_tally
        This rank's contribution, encoded as for the others, and what travels beside it.
    """

    def __init__(self, member: Member, part: slice, own: memoryview, own_tally: Tally) -> None:
        self._member = member
        self._part = part
        self._own = own
        self._own_tally = own_tally
        self._total = RankOrderSum(member.out[part], member.wire)

    def add_own(self) -> None:
        """Add this rank's contribution."""
        self._total.add(self._own, self._own_tally)

    def add(self, get: Get, data: Buffer) -> None:
        """Add the contribution that a get has brought."""
        frame = self._member.read(get, data, self._part.stop - self._part.start)
        self._total.add(frame.payload, frame.tally)

    @property
    def tally(self) -> Tally:
        """What has been added beside the values."""
        return self._total.tally


def _name(key: str, index: int) -> str:
    """What tells a frame from all others: its object's key and its number in the object."""
    return f"{key}#{index}"
