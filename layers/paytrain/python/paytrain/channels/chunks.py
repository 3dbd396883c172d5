"""Cutting parts into chunks that fit a service's items. Pure functions."""

from collections.abc import Sequence

from typing_extensions import Buffer

from paytrain.channels.base import Content, Part
from paytrain.errors import FrameError


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


def views_of(contents: Sequence[Content]) -> list[memoryview]:
    """The bytes of all parts, as views; empty buffers are left out."""
    views = [memoryview(buffer) for content in contents for buffer in content]
    return [view.cast("B") for view in views if view.nbytes]


def parts_of(contents: Sequence[Content]) -> list[Part]:
    """The parts that an object of these contents has."""
    parts, offset = [], 0
    for index, content in enumerate(contents):
        parts.append(Part(index, offset, sum(memoryview(buffer).nbytes for buffer in content)))
        offset += parts[-1].length_bytes
    return parts


def split(content: Content, chunk_bytes: int) -> list[list[memoryview]]:
    """Chunks of ``chunk_bytes``, the last one shorter, that together are the part; an empty part is one empty chunk."""
    chunks: list[list[memoryview]] = [[]]
    room = chunk_bytes
    for view in views_of([content]):
        start = 0
        while start < len(view):
            if not room:
                chunks.append([])
                room = chunk_bytes
            piece = view[start : start + room]
            chunks[-1].append(piece)
            start, room = start + len(piece), room - len(piece)
    return chunks


def checked(key: str, part: Part, content: Buffer, length_bytes: int) -> Buffer:
    """The content, if its ``length_bytes`` are those of the part.

    Raises
    ------
    FrameError
        When it is not.
    """
    if length_bytes != part.length_bytes:
        raise wrong_length(key, part, length_bytes)
    return content


def wrong_length(key: str, part: Part, length_bytes: int) -> FrameError:
    """The error of a part that was ``length_bytes`` long."""
    return FrameError(f"{key}, part {part.index}: read {length_bytes} bytes instead of {part.length_bytes}.")
