"""topk: one value in a hundred, the largest, with error feedback.

A. F. Aji, K. Heafield: Sparse Communication for Distributed Gradient Descent, EMNLP 2017; Y. Lin et al.: Deep Gradient
Compression, ICLR 2018. How many values a frame has follows from its length, so readers know how long it is.
"""

import numpy as np
from numpy.typing import NDArray

from paytrain.exchange.wires.base import BLOCK, SIGN, Wire, blocks

ONE_IN = 100
_SAMPLE_STRIDE = 64
_SPARE_DEVIATIONS = 4
"""How many more than expected a sample is asked for, so that its threshold is hardly ever too high."""


class TopK(Wire):
    """The values of largest magnitude, as they are, each with its place; of equal ones those that come first.

    All others wait in the residual. NaN and infinity count as the largest.
    """

    has_residual = True

    def payload_bytes(self, elements: int) -> int:
        """Four bytes for a value that is sent, and four for its place."""
        return 8 * _count(elements)

    def encode(self, values: NDArray[np.floating], residual: NDArray[np.float32] | None) -> memoryview:
        """Choose among what is to be sent."""
        assert residual is not None
        payload = np.empty(self.payload_bytes(values.size), np.uint8)
        sent, places = _split(payload.data, values.size)
        np.add(residual, values, out=residual)
        places[:] = _largest(residual.view(np.uint32), sent.size)
        sent[:] = residual[places]
        residual[places] = 0
        return payload.data

    def decode(self, payload: memoryview, out: NDArray[np.floating]) -> None:
        """What was not sent is 0."""
        out[:] = 0
        self.add(payload, out)

    def add(self, payload: memoryview, out: NDArray[np.floating]) -> None:
        """Touches only the places of what was sent."""
        sent, places = _split(payload, out.size)
        out[places] += sent


def _count(elements: int) -> int:
    """How many of so many values are sent."""
    return -(-elements // ONE_IN)


def _split(payload: memoryview, elements: int) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    """Values and places in a payload, shape (sent,) each."""
    sent = np.frombuffer(payload, "<f4", _count(elements))
    return sent, np.frombuffer(payload, "<u4", sent.size, sent.nbytes)


def _largest(bits: NDArray[np.uint32], count: int) -> NDArray[np.intp]:
    """Places of the ``count`` values of largest magnitude, in order.

    Magnitudes are compared as integers, whose order is the same, with NaN above infinity. A sample gives a threshold
    above which there are most likely some more than ``count``; then only those are looked at closely.
    """
    places, magnitudes = _at_least(bits, _likely_threshold(bits, count))
    if places.size < count:
        places, magnitudes = _at_least(bits, 0)
    if places.size == count:
        return places
    smallest = np.partition(magnitudes, places.size - count)[places.size - count]
    is_chosen = magnitudes > smallest
    equal = np.flatnonzero(magnitudes == smallest)
    is_chosen[equal[: count - np.count_nonzero(is_chosen)]] = True
    return places[np.flatnonzero(is_chosen)]


def _at_least(bits: NDArray[np.uint32], threshold: int) -> tuple[NDArray[np.intp], NDArray[np.uint32]]:
    """Places and magnitudes of all values that are not below a threshold."""
    scratch = np.empty(min(bits.size, BLOCK), np.uint32)
    places: list[NDArray[np.intp]] = [np.empty(0, np.intp)]
    magnitudes = [np.empty(0, np.uint32)]
    for part in blocks(bits.size):
        block = scratch[: part.stop - part.start]
        np.bitwise_and(bits[part], ~SIGN, out=block)
        found = np.flatnonzero(block >= threshold)
        magnitudes.append(block[found])
        places.append(found + part.start)
    return np.concatenate(places), np.concatenate(magnitudes)


def _likely_threshold(bits: NDArray[np.uint32], count: int) -> int:
    sample = bits[::_SAMPLE_STRIDE] & ~SIGN
    expected = count / _SAMPLE_STRIDE
    wanted = int(expected + _SPARE_DEVIATIONS * expected**0.5) + 1
    if wanted >= sample.size:
        return 0
    return int(np.partition(sample, sample.size - wanted)[sample.size - wanted])
