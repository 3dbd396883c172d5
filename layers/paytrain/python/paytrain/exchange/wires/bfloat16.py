"""bfloat16: the upper half of a float32, 8 bits of precision and the whole range."""

import numpy as np
from numpy.typing import NDArray

from paytrain.exchange.wires.base import INFINITY, SIGN
from paytrain.exchange.wires.half import Half

_NAN = 0x7FC0


class BFloat16(Half):
    """Relative error at most 2⁻⁸; what would round beyond the largest number becomes infinite."""

    def _narrow(self, bits: NDArray[np.uint32], halves: NDArray[np.uint16], scratch: NDArray[np.uint32]) -> None:
        rounded = scratch[0]
        np.bitwise_and(bits, ~SIGN, out=rounded)
        has_nan = rounded.max() > INFINITY
        np.right_shift(bits, 16, out=rounded)
        np.bitwise_and(rounded, 1, out=rounded)
        np.add(rounded, 0x7FFF, out=rounded)
        np.add(rounded, bits, out=rounded)
        np.right_shift(rounded, 16, out=rounded)
        np.copyto(halves, rounded, casting="unsafe")
        if has_nan:
            # Rounding could carry a NaN into infinity, or past the sign to zero.
            halves[(bits & ~SIGN) > INFINITY] = _NAN

    def _widen(self, halves: NDArray[np.uint16], out: NDArray[np.floating]) -> None:
        bits = out.view("<u4")
        np.copyto(bits, halves)
        np.left_shift(bits, 16, out=bits)
