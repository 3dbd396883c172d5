"""Joining a part's chunks again."""

import numpy as np

from paytrain.channels.base import Part
from paytrain.channels.chunks import chunk_count, wrong_length
from paytrain.errors import ObjectLost


class Assembly:
    """A part that is put together from its chunks, each at its place. Threads may share it.

    The first chunk is written last: when it is there the others were, so one that is missing has been forgotten.
    """

    def __init__(self, key: str, part: Part, chunk_bytes: int) -> None:
        self._key = key
        self._part = part
        self._chunk_bytes = chunk_bytes
        # Not a bytearray, which begins by writing zeros.
        self._content = np.empty(part.length_bytes, np.uint8).data
        self._lengths: dict[int, int] = {}

    @property
    def is_empty(self) -> bool:
        """Whether no chunk has come."""
        return not self._lengths

    @property
    def length_bytes(self) -> int:
        """Of the chunks that have come."""
        return sum(self._lengths.values())

    def add(self, chunk: int, content: bytes) -> None:
        """Copy a chunk to its place."""
        self.place(chunk, len(content))[:] = content
        self.arrived(chunk, len(content))

    def place(self, chunk: int, length_bytes: int) -> memoryview:
        """Where a chunk of this length is to be written; somewhere else if it should have another one."""
        if length_bytes != self._expected(chunk):
            return memoryview(bytearray(length_bytes))
        start = chunk * self._chunk_bytes
        return self._content[start : start + length_bytes]

    def arrived(self, chunk: int, length_bytes: int) -> None:
        """Take note that a chunk has been written to its place."""
        self._lengths[chunk] = length_bytes

    def whole(self) -> memoryview:
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
            raise wrong_length(self._key, self._part, self.length_bytes)
        return self._content

    def _expected(self, chunk: int) -> int:
        return min(self._chunk_bytes, self._part.length_bytes - chunk * self._chunk_bytes)
