"""Numbers as they are."""

import numpy as np
from numpy.typing import NDArray

from paytrain.exchange.wires.base import Wire


class Exact(Wire):
    """``float32`` and ``float64``: little-endian IEEE 754, nothing lost."""

    is_exact = True

    def __init__(self, name: str, code: int) -> None:
        super().__init__(name, code)
        self.dtype = np.dtype(name).newbyteorder("<")

    def payload_bytes(self, elements: int) -> int:
        """A number's own size each."""
        return self.dtype.itemsize * elements

    def encode(self, values: NDArray[np.floating], residual: NDArray[np.float32] | None) -> memoryview:
        """A view of the values."""
        return np.ascontiguousarray(values).view(np.uint8).data.toreadonly()

    def decode(self, payload: memoryview, out: NDArray[np.floating]) -> None:
        """A copy."""
        out[:] = np.frombuffer(payload, self.dtype, out.size)

    def add(self, payload: memoryview, out: NDArray[np.floating]) -> None:
        """Addition without a copy."""
        np.add(out, np.frombuffer(payload, self.dtype, out.size), out=out)
