"""Frames: how a slice of a vector travels, with what is needed to refuse anything else.

A frame is a fixed header, the metrics' sums as float64, and the slice in the format of its wire. Its length depends
on the number of elements and metrics alone, so readers know it in advance.
"""

import struct
from dataclasses import dataclass

import numpy as np
import xxhash
from numpy.typing import NDArray
from typing_extensions import Buffer

from paytrain.channels.base import Content
from paytrain.errors import FrameError
from paytrain.exchange.wires import BY_CODE
from paytrain.exchange.wires.base import Wire

_MAGIC = b"PTRN"
_VERSION = 1
_HEADER = struct.Struct("<4sBBHIIQQQ")
"""Magic, version, wire, votes, rank, metrics, round, samples, elements."""
_CHECKSUM = struct.Struct("<Q")
HEADER_BYTES = _HEADER.size + _CHECKSUM.size


@dataclass(frozen=True)
class Tally:
    """What travels beside every slice.

    Attributes
    ----------
    samples
        Samples behind the contribution.
    votes
        Bit mask of :class:`paytrain.exchange.votes.Vote`.
    metrics
        Sums of loss and metric state, float64, shape (metrics,).
    """

    samples: int
    votes: int
    metrics: NDArray[np.float64]

    def plus(self, other: "Tally") -> "Tally":
        """Counts and sums added, votes OR-ed."""
        return Tally(self.samples + other.samples, self.votes | other.votes, self.metrics + other.metrics)


@dataclass(frozen=True)
class Frame:
    """A decoded frame.

    Attributes
    ----------
    rank
        Who wrote it.
    round
        In which round of the lap.
    tally
        What travels beside the slice.
    payload
        The slice, as its wire writes it; a read-only view of the bytes received.
    """

    rank: int
    round: int
    tally: Tally
    payload: memoryview


def frame_bytes(elements: int, metrics: int, wire: Wire) -> int:
    """Length of a frame in bytes."""
    return HEADER_BYTES + 8 * metrics + wire.payload_bytes(elements)


def encode(
    payload: memoryview, tally: Tally, *, wire: Wire, elements: int, name: str, rank: int, round_: int
) -> Content:
    """Write a frame: what goes before the slice, and the slice itself, which must not change meanwhile.

    Parameters
    ----------
    payload
        The slice as its wire has encoded it.
    name
        Whatever tells this frame from all others: it goes into the checksum, not into the bytes.
    """
    metrics = np.ascontiguousarray(tally.metrics, dtype="<f8")
    head = bytearray(HEADER_BYTES + metrics.nbytes)
    _HEADER.pack_into(
        head,
        0,
        _MAGIC,
        _VERSION,
        wire.code,
        tally.votes,
        rank,
        metrics.size,
        round_,
        tally.samples,
        elements,
    )
    head[HEADER_BYTES:] = metrics.tobytes()
    _CHECKSUM.pack_into(head, _HEADER.size, _checksum(name, memoryview(head), payload))
    return [head, payload]


def decode(data: Buffer, *, name: str, rank: int, round_: int, elements: int, metrics: int, wire: Wire) -> Frame:
    """Read a frame and refuse anything but the one that is expected.

    Raises
    ------
    FrameError
        Naming what differs: length, magic, version, checksum, wire, rank, round or sizes.
    """
    view = memoryview(data).cast("B").toreadonly()
    where = f"The frame of rank {rank} in round {round_}"
    expected = frame_bytes(elements, metrics, wire)
    if len(view) != expected:
        raise FrameError(f"{where} has {len(view)} bytes instead of {expected}.")
    magic, version, code, votes, sender, metric_count, in_round, samples, size = _HEADER.unpack_from(view)
    if magic != _MAGIC or version != _VERSION:
        raise FrameError(f"{where} begins with {magic!r} version {version}: these bytes are foreign.")
    (checksum,) = _CHECKSUM.unpack_from(view, _HEADER.size)
    if checksum != _checksum(name, view, b""):
        raise FrameError(f"{where} is corrupt, or not {name}: its checksum does not fit.")
    found = (sender, in_round, BY_CODE[code].name if code in BY_CODE else code, metric_count, size)
    wanted = (rank, round_, wire.name, metrics, elements)
    if found != wanted:
        names = ("rank", "round", "wire", "metrics", "elements")
        differing = ", ".join(f"{n} {f} instead of {w}" for n, f, w in zip(names, found, wanted, strict=True) if f != w)
        raise FrameError(f"{where} is another one: {differing}.")
    sums = np.frombuffer(view, "<f8", metrics, HEADER_BYTES)
    return Frame(sender, in_round, Tally(samples, votes, sums), view[HEADER_BYTES + 8 * metrics :])


def _checksum(name: str, frame: memoryview, rest: Buffer) -> int:
    """XXH3-64 of the frame's name and all its bytes but the checksum's own; ``rest`` are those that lie elsewhere."""
    digest = xxhash.xxh3_64(name.encode())
    digest.update(frame[: _HEADER.size])
    digest.update(frame[HEADER_BYTES:])
    digest.update(rest)
    return digest.intdigest()
