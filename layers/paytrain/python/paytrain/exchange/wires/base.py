"""What every wire offers: a slice of a vector to bytes of a length known in advance, and back."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

SIGN = np.uint32(0x8000_0000)
INFINITY = np.uint32(0x7F80_0000)
"""Bits of float32; a NaN without its sign is above infinity."""

BLOCK = 32_768
"""Values that are worked on at once: their scratch arrays stay in a core's cache."""


class Wire(ABC):
    """A format of numbers that travel.

    The same values give the same bytes on every machine, and NaN and infinity never become finite: where a wire
    cannot tell them from others it makes NaN of their neighbours, too.

    Parameters
    ----------
    name
        As in the job.
    code
        As in a frame's header.

    Attributes
    ----------
    dtype
        Of the vectors.
    is_exact
        Whether what arrives has the bits of what was sent.
    has_residual
        Whether what has not been sent is kept, and added to what is sent next (error feedback).
    """

    dtype = np.dtype("<f4")
    is_exact = False
    has_residual = False

    def __init__(self, name: str, code: int) -> None:
        self.name = name
        self.code = code

    @abstractmethod
    def payload_bytes(self, elements: int) -> int:
        """Length in bytes of ``elements`` values."""

    @abstractmethod
    def encode(self, values: NDArray[np.floating], residual: NDArray[np.float32] | None) -> memoryview:
        """The bytes of some values.

        Parameters
        ----------
        values
            Shape (elements,), contiguous, of the wire's dtype; an exact wire gives a view of them.
        residual
            Shape (elements,): what has not been sent so far; becomes what now has not been sent.
            None exactly if the wire has none.
        """

    @abstractmethod
    def decode(self, payload: memoryview, out: NDArray[np.floating]) -> None:
        """Set ``out``, shape (elements,), to the values that the bytes mean."""

    @abstractmethod
    def add(self, payload: memoryview, out: NDArray[np.floating]) -> None:
        """Add to ``out``, shape (elements,), the values that the bytes mean."""


def blocks(elements: int, block: int = BLOCK) -> Iterator[slice]:
    """Cut a vector into blocks, the last one shorter."""
    for start in range(0, elements, block):
        yield slice(start, min(start + block, elements))
