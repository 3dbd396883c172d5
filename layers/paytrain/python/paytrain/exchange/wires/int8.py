"""int8: a signed byte each, and a scale per row of values, with error feedback.

F. Seide et al.: 1-Bit Stochastic Gradient Descent and its Application to Data-Parallel Distributed Training of
Speech DNNs, Interspeech 2014, for error feedback; H. Tang et al.: DoubleSqueeze, ICML 2019, for that of both hops.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from paytrain.exchange.wires.base import BLOCK, INFINITY, SIGN, Wire, blocks

ROW = 512
"""Values that share a scale: its four bytes add less than one per cent."""
_LARGEST = np.float32(127)
TINY = np.float32(2.0**-119)
"""Rows below this are sent as zeros and stay in the residual: their scale would be no normal number."""


class Int8(Wire):
    """Errors of at most half a step, which is a 127th of the row's largest value, go into the next round.

    A row with a NaN or an infinity becomes NaN throughout.
    """

    has_residual = True

    def payload_bytes(self, elements: int) -> int:
        """A scale per row, then a byte each."""
        return 4 * _rows(elements) + elements

    def encode(self, values: NDArray[np.floating], residual: NDArray[np.float32] | None) -> memoryview:
        """Scale and round what is to be sent, row by row."""
        assert residual is not None
        payload = np.empty(self.payload_bytes(values.size), np.uint8)
        scales, steps = _split(payload.data, values.size)
        scratch = np.empty(min(values.size, BLOCK), np.float32)
        with np.errstate(all="ignore"):
            for part in _blocks_of_rows(values.size):
                np.add(residual[part], values[part], out=residual[part])
                _encode_rows(_by_row(residual[part]), _scales_of(scales, part), _by_row(steps[part]), scratch)
        return payload.data

    def decode(self, payload: memoryview, out: NDArray[np.floating]) -> None:
        """Steps times scale."""
        scales, steps = _split(payload, out.size)
        for part in _blocks_of_rows(out.size):
            _decode_rows(_scales_of(scales, part), _by_row(steps[part]), _by_row(out[part]))

    def add(self, payload: memoryview, out: NDArray[np.floating]) -> None:
        """Decode rows into scratch, and add them."""
        scales, steps = _split(payload, out.size)
        scratch = np.empty(min(out.size, BLOCK), np.float32)
        for part in _blocks_of_rows(out.size):
            block = scratch[: part.stop - part.start]
            _decode_rows(_scales_of(scales, part), _by_row(steps[part]), _by_row(block))
            np.add(out[part], block, out=out[part])


def _encode_rows(
    unsent: NDArray[np.float32], scales: NDArray[np.float32], steps: NDArray[np.int8], scratch: NDArray[np.float32]
) -> None:
    """Encode rows, shape (rows, values); what is sent is taken off them."""
    block = scratch[: unsent.size].reshape(unsent.shape)
    np.bitwise_and(unsent.view(np.uint32), ~SIGN, out=block.view(np.uint32))
    # As integers, magnitudes have the order that they have as floats, with NaN above infinity.
    largest = block.view(np.uint32).max(axis=1, keepdims=True)
    is_finite = largest < INFINITY
    magnitude = largest.view(np.float32)
    is_seen = is_finite & (magnitude >= TINY)
    inverse = np.where(is_seen, _LARGEST / magnitude, np.float32(0))
    scales[:] = np.where(is_seen, magnitude / _LARGEST, np.float32(0))
    scales[~is_finite] = np.nan
    np.multiply(unsent, inverse, out=block)
    np.rint(block, out=block)
    block[~is_finite[:, 0]] = 0
    np.copyto(steps, block, casting="unsafe")
    np.multiply(block, scales, out=block)
    np.subtract(unsent, block, out=unsent)


def _decode_rows(scales: NDArray[np.float32], steps: NDArray[np.int8], out: NDArray[np.floating]) -> None:
    np.copyto(out, steps)
    np.multiply(out, scales, out=out)


def _rows(elements: int) -> int:
    return -(-elements // ROW)


def _split(payload: memoryview, elements: int) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Scales, shape (rows,), and steps, shape (elements,), in a payload."""
    scales = np.frombuffer(payload, "<f4", _rows(elements))
    return scales, np.frombuffer(payload, np.int8, elements, scales.nbytes)


def _blocks_of_rows(elements: int) -> list[slice]:
    """Blocks of whole rows, then the last row if it is a shorter one."""
    whole = elements - elements % ROW
    return [*blocks(whole), *([slice(whole, elements)] if whole < elements else [])]


def _by_row(block: NDArray[Any]) -> NDArray[Any]:
    """Shape (rows, values)."""
    return block.reshape(-1, min(ROW, block.size))


def _scales_of(scales: NDArray[np.float32], part: slice) -> NDArray[np.float32]:
    """The scales of a block's rows, shape (rows, 1)."""
    return scales[part.start // ROW : _rows(part.stop)].reshape(-1, 1)
