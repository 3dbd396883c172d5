"""float16: 11 bits of precision, from 6e-8 to 65,504."""

import numpy as np
from numpy.typing import NDArray

from paytrain.exchange.wires.base import INFINITY, SIGN
from paytrain.exchange.wires.half import Half

_MANTISSA = 10
_DROPPED = 23 - _MANTISSA
_SMALLEST_NORMAL = np.uint32(113 << 23)
"""2⁻¹⁴ as float32; smaller numbers share its spacing."""
_OVERFLOWS = np.uint32(0x477F_F000)
"""65,520 as float32, half way from the largest float16 to the power of two that would come next."""
_BEYOND = np.uint32(144 << 23)
"""2¹⁷ as float32, which overflows like everything above it."""
_EXCESS = (113 + _DROPPED) << _MANTISSA
_HALF_INFINITY = 0x7C00
_HALF_NAN = 0x7E00
_WIDENED = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
"""All float16 as float32; NumPy converts number by number, and slows down a hundredfold at the small ones."""


class Float16(Half):
    """Relative error at most 2⁻¹¹, absolute 2⁻²⁵; from 65,520 on numbers become infinite, and the training ends."""

    def _narrow(self, bits: NDArray[np.uint32], halves: NDArray[np.uint16], scratch: NDArray[np.uint32]) -> None:
        # A float added to a power of two that is 2¹³ times larger is rounded by the processor to the 11 bits that stay.
        rounded, power, sign = scratch
        np.bitwise_and(bits, ~SIGN, out=rounded)
        largest = rounded.max()
        if largest >= _OVERFLOWS:
            np.minimum(rounded, _BEYOND, out=rounded)
        np.bitwise_and(rounded, INFINITY, out=power)
        np.maximum(power, _SMALLEST_NORMAL, out=power)
        np.add(power, _DROPPED << 23, out=power)
        np.add(rounded.view(np.float32), power.view(np.float32), out=rounded.view(np.float32))
        np.subtract(rounded, power, out=rounded)
        np.right_shift(power, _DROPPED, out=power)
        np.add(rounded, power, out=rounded)
        if largest >= _OVERFLOWS:
            np.minimum(rounded, _HALF_INFINITY + _EXCESS, out=rounded)
        np.right_shift(bits, 16, out=sign)
        np.bitwise_and(sign, 0x8000, out=sign)
        np.add(rounded, sign, out=rounded)
        # Only 16 bits stay, so the excess may be taken off when the others are gone: half the bytes.
        np.copyto(halves, rounded, casting="unsafe")
        np.subtract(halves, _EXCESS & 0xFFFF, out=halves)
        if largest > INFINITY:
            halves[(bits & ~SIGN) > INFINITY] = _HALF_NAN

    def _widen(self, halves: NDArray[np.uint16], out: NDArray[np.floating]) -> None:
        # "clip" lets take() write to its place at once; no index is out of range.
        np.take(_WIDENED, halves, out=out, mode="clip")
