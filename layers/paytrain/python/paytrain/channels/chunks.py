"""Cutting parts into chunks that fit a service's items, and joining them again. Pure functions."""

from collections.abc import Sequence

from typing_extensions import Buffer

from paytrain.channels.base import Part
from paytrain.errors import FrameError, ObjectLost


def chunk_count(length_bytes: int, chunk_bytes: int) -> int:
    """Number of items that a part takes; an empty part takes one, so that its existence can be seen.

    Examples
    --------
    >>> [chunk_count(length, 10) for length in (0, 1, 10, 11)]
    [1, 1, 1, 2]
    """
    return max(1, -(-length_bytes // chunk_bytes))


def chunk_keys(key: str, part: Part, chunk_bytes: int) -> list[str]:
    """Keys of a part's items, in order."""
    return [f"{key}/{part.index}/{chunk}" for chunk in range(chunk_count(part.length_bytes, chunk_bytes))]


def parts_of(buffers: Sequence[Buffer]) -> list[Part]:
    """The parts that an object of these buffers has."""
    parts, offset = [], 0
    for index, buffer in enumerate(buffers):
        parts.append(Part(index, offset, memoryview(buffer).nbytes))
        offset += parts[-1].length_bytes
    return parts


def split(buffer: Buffer, chunk_bytes: int) -> list[Buffer]:
    """Buffers of at most ``chunk_bytes`` that together are the given one; that one itself, uncopied, if it fits."""
    view = memoryview(buffer)
    if view.nbytes <= chunk_bytes:
        return [buffer]
    view = view.cast("B")
    return [view[start : start + chunk_bytes] for start in range(0, view.nbytes, chunk_bytes)]


def join(key: str, part: Part, chunks: Sequence[bytes | None]) -> Buffer:
    """The part that the chunks make up.

    Raises
    ------
    ObjectLost
        When a chunk is missing. The first is written last, so the others were there.
    FrameError
        When the chunks are not as long as the part.
    """
    present = [chunk for chunk in chunks if chunk is not None]
    if len(present) < len(chunks):
        missing = len(chunks) - len(present)
        raise ObjectLost(f"{key}, part {part.index}: {missing} of {len(chunks)} items are gone from the channel.")
    return checked(key, part, present[0] if len(present) == 1 else b"".join(present))


def checked(key: str, part: Part, content: bytes) -> bytes:
    """The content, if it is as long as the part.

    Raises
    ------
    FrameError
        When it is not.
    """
    if len(content) != part.length_bytes:
        raise FrameError(f"{key}, part {part.index}: read {len(content)} bytes instead of {part.length_bytes}.")
    return content
