"""A rank's part in the exchange of one segment: what a pattern works with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

from paytrain.channels.base import Part
from paytrain.exchange.frame import Frame, Tally, decode, encode, frame_bytes
from paytrain.exchange.operations import Get, Put


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
    """

    rank: int
    world_size: int
    round: int
    prefix: str
    values: NDArray[Any]
    out: NDArray[Any]
    tally: Tally

    @property
    def peers(self) -> list[int]:
        """All ranks but this one, in order."""
        return [rank for rank in range(self.world_size) if rank != self.rank]

    def put(self, hop: int, slices: Sequence[NDArray[Any]], tally: Tally) -> Put:
        """Store one frame per slice as this rank's object of a hop."""
        key = self._key(hop, self.rank)
        frames = [
            encode(values, tally, name=_name(key, index), rank=self.rank, round_=self.round)
            for index, values in enumerate(slices)
        ]
        return Put(key, frames)

    def get(self, hop: int, rank: int, elements: int) -> Get:
        """Read the only frame of a rank's object."""
        return self.get_part(hop, rank, Part(0, 0, self.frame_bytes(elements)))

    def get_part(self, hop: int, rank: int, part: Part) -> Get:
        """Read one frame of a rank's object."""
        return Get(self._key(hop, rank), part, rank)

    def frame_bytes(self, elements: int) -> int:
        """Length in bytes of a frame with ``elements`` values."""
        return frame_bytes(elements, self.tally.metrics.size, self.values.dtype)

    def read(self, get: Get, data: Buffer, elements: int) -> Frame:
        """Decode the frame that a get has brought, and check that it is the one asked for."""
        return decode(
            data,
            name=_name(get.key, get.part.index),
            rank=get.rank,
            round_=self.round,
            elements=elements,
            metrics=self.tally.metrics.size,
            dtype=np.dtype(self.values.dtype),
        )

    def _key(self, hop: int, rank: int) -> str:
        return f"{self.prefix}/{hop}/{rank}"


def _name(key: str, index: int) -> str:
    """What tells a frame from all others: its object's key and its number in the object."""
    return f"{key}#{index}"
