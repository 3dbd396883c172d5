"""Frames: how a slice of a vector travels, with what is needed to refuse anything else.

A frame is a fixed header, the metrics' sums as float64, and the slice. Its length depends on the number
of elements and metrics alone, so readers know it in advance.
"""

import struct
from dataclasses import dataclass

import numpy as np
import xxhash
from numpy.typing import NDArray
from typing_extensions import Buffer

from paytrain.errors import FrameError

WIRE_DTYPES = {"float32": np.dtype("<f4"), "float64": np.dtype("<f8")}
_DTYPE_CODES = {dtype: code for code, dtype in enumerate(WIRE_DTYPES.values(), start=1)}

_MAGIC = b"PTRN"
_VERSION = 1
_HEADER = struct.Struct("<4sBBHIIQQQ")
"""Magic, version, dtype, votes, rank, metrics, round, samples, elements."""
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
    values
        The slice, shape (elements,); a read-only view of the bytes received.
    """

    rank: int
    round: int
    tally: Tally
    values: NDArray[np.floating]


def frame_bytes(elements: int, metrics: int, dtype: np.dtype) -> int:
    """Length of a frame in bytes."""
    return HEADER_BYTES + 8 * metrics + dtype.itemsize * elements


def encode(values: NDArray[np.floating], tally: Tally, *, name: str, rank: int, round_: int) -> memoryview:
    """Write a frame.

    Parameters
    ----------
    values
        The slice, shape (elements,), contiguous, of a wire's dtype.
    name
        Whatever tells this frame from all others: it goes into the checksum, not into the bytes.
    """
    metrics = np.ascontiguousarray(tally.metrics, dtype="<f8")
    buffer = bytearray(frame_bytes(values.size, metrics.size, values.dtype))
    _HEADER.pack_into(
        buffer,
        0,
        _MAGIC,
        _VERSION,
        _DTYPE_CODES[values.dtype],
        tally.votes,
        rank,
        metrics.size,
        round_,
        tally.samples,
        values.size,
    )
    at = HEADER_BYTES + metrics.nbytes
    buffer[HEADER_BYTES:at] = metrics.tobytes()
    np.frombuffer(buffer, values.dtype, values.size, at)[:] = values
    _CHECKSUM.pack_into(buffer, _HEADER.size, _checksum(name, memoryview(buffer)))
    return memoryview(buffer).toreadonly()


def decode(data: Buffer, *, name: str, rank: int, round_: int, elements: int, metrics: int, dtype: np.dtype) -> Frame:
    """Read a frame and refuse anything but the one that is expected.

    Raises
    ------
    FrameError
        Naming what differs: length, magic, version, checksum, dtype, rank, round or sizes.
    """
    view = memoryview(data).cast("B").toreadonly()
    where = f"The frame of rank {rank} in round {round_}"
    expected = frame_bytes(elements, metrics, dtype)
    if len(view) != expected:
        raise FrameError(f"{where} has {len(view)} bytes instead of {expected}.")
    magic, version, code, votes, sender, metric_count, in_round, samples, size = _HEADER.unpack_from(view)
    if magic != _MAGIC or version != _VERSION:
        raise FrameError(f"{where} begins with {magic!r} version {version}: these bytes are foreign.")
    (checksum,) = _CHECKSUM.unpack_from(view, _HEADER.size)
    if checksum != _checksum(name, view):
        raise FrameError(f"{where} is corrupt, or not {name}: its checksum does not fit.")
    found = (sender, in_round, code, metric_count, size)
    wanted = (rank, round_, _DTYPE_CODES[dtype], metrics, elements)
    if found != wanted:
        names = ("rank", "round", "dtype", "metrics", "elements")
        differing = ", ".join(f"{n} {f} instead of {w}" for n, f, w in zip(names, found, wanted, strict=True) if f != w)
        raise FrameError(f"{where} is another one: {differing}.")
    sums = np.frombuffer(view, "<f8", metrics, HEADER_BYTES)
    values = np.frombuffer(view, dtype, elements, HEADER_BYTES + 8 * metrics)
    return Frame(sender, in_round, Tally(samples, votes, sums), values)


def _checksum(name: str, view: memoryview) -> int:
    """XXH3-64 of the frame's name and all its bytes but the checksum's own."""
    digest = xxhash.xxh3_64(name.encode())
    digest.update(view[: _HEADER.size])
    digest.update(view[HEADER_BYTES:])
    return digest.intdigest()
