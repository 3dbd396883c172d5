"""Buffers as the body of a request, without a copy of them."""

import io
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any


class Body(io.RawIOBase):
    """A file over buffers that follow one another; a client that sends it again seeks to its beginning.

    Parameters
    ----------
    views
        Buffers of bytes, none of them empty.

    Examples
    --------
    >>> body = Body([memoryview(b"head"), memoryview(b"content")])
    >>> body.seek(2), body.read(4), body.read(4), len(body)
    (2, b'ad', b'cont', 11)
    """

    def __init__(self, views: Sequence[memoryview]) -> None:
        self._views = views
        self._starts = list(accumulate(map(len, views), initial=0))
        self._at = 0

    def __len__(self) -> int:
        """Bytes in all."""
        return self._starts[-1]

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Bytes before the next one to be read."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self)}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read what one of the buffers still has."""
        if self._at >= len(self):
            return 0
        index = bisect_right(self._starts, self._at) - 1
        piece = self._views[index][self._at - self._starts[index] :][: len(buffer)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)
