"""Cutting parts into chunks that fit a service's items, and joining them again. Pure functions."""

from collections.abc import Sequence

from typing_extensions import Buffer

from paytrain.channels.base import Content, Part
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


class Assembly:
    """A part that is put together from its chunks, each copied to its place as it comes. Threads may share it.

    Parameters
    ----------
    head
        The first chunk, which is written last: the others were there, so one that is missing has been forgotten.
    """

    def __init__(self, key: str, part: Part, chunk_bytes: int, head: bytes) -> None:
        self._key = key
        self._part = part
        self._chunk_bytes = chunk_bytes
        self._content = bytearray(part.length_bytes)
        self._view = memoryview(self._content)
        self._lengths = {0: len(head)}
        self._copy(0, head)

    def add(self, chunk: int, content: bytes | None) -> None:
        """Take a chunk, or None when it is missing."""
        if content is not None:
            self._lengths[chunk] = len(content)
            self._copy(chunk, content)

    def whole(self) -> Buffer:
        """The part.

        Raises
        ------
        ObjectLost
            When a chunk is missing.
        FrameError
            When the chunks are not as long as the part.
        """
        count = chunk_count(self._part.length_bytes, self._chunk_bytes)
        if len(self._lengths) < count:
            raise ObjectLost(
                f"{self._key}, part {self._part.index}: {count - len(self._lengths)} of {count} items "
                "are gone from the channel: evicted, deleted or expired. A cache must hold two rounds."
            )
        if any(length != self._expected(chunk) for chunk, length in self._lengths.items()):
            raise _wrong_length(self._key, self._part, sum(self._lengths.values()))
        return self._content

    def _copy(self, chunk: int, content: bytes) -> None:
        if len(content) == self._expected(chunk):
            start = chunk * self._chunk_bytes
            self._view[start : start + len(content)] = content

    def _expected(self, chunk: int) -> int:
        return min(self._chunk_bytes, self._part.length_bytes - chunk * self._chunk_bytes)


def checked(key: str, part: Part, content: Buffer, length_bytes: int) -> Buffer:
    """The content, if its ``length_bytes`` are those of the part.

    Raises
    ------
    FrameError
        When it is not.
    """
    if length_bytes != part.length_bytes:
        raise _wrong_length(key, part, length_bytes)
    return content


def _wrong_length(key: str, part: Part, length_bytes: int) -> FrameError:
    return FrameError(f"{key}, part {part.index}: read {length_bytes} bytes instead of {part.length_bytes}.")
