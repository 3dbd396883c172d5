"""What the two formats of 16 bits share."""

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from paytrain.exchange.wires.base import BLOCK, Wire, blocks


class Half(Wire):
    """Floats of 16 bits, rounded to nearest, ties to even; no residual, since an error is as often up as down."""

    def payload_bytes(self, elements: int) -> int:
        """Two bytes each."""
        return 2 * elements

    def encode(self, values: NDArray[np.floating], residual: NDArray[np.float32] | None) -> memoryview:
        """Round block by block."""
        payload = np.empty(2 * values.size, np.uint8)
        halves, bits = payload.view("<u2"), values.view("<u4")
        scratch = np.empty((3, min(values.size, BLOCK)), np.uint32)
        for part in blocks(values.size):
            self._narrow(bits[part], halves[part], scratch[:, : part.stop - part.start])
        return payload.data

    def decode(self, payload: memoryview, out: NDArray[np.floating]) -> None:
        """Exact: every float of 16 bits is one of 32."""
        halves = np.frombuffer(payload, "<u2", out.size)
        for part in blocks(out.size):
            self._widen(halves[part], out[part])

    def add(self, payload: memoryview, out: NDArray[np.floating]) -> None:
        """Decode a block into scratch, and add it."""
        halves = np.frombuffer(payload, "<u2", out.size)
        scratch = np.empty(min(out.size, BLOCK), np.float32)
        for part in blocks(out.size):
            block = scratch[: part.stop - part.start]
            self._widen(halves[part], block)
            np.add(out[part], block, out=out[part])

    @abstractmethod
    def _narrow(self, bits: NDArray[np.uint32], halves: NDArray[np.uint16], scratch: NDArray[np.uint32]) -> None:
        """Round a block of float32, given as bits; ``scratch`` are three more of its shape."""

    @abstractmethod
    def _widen(self, halves: NDArray[np.uint16], out: NDArray[np.floating]) -> None:
        """Make float32 of a block."""
