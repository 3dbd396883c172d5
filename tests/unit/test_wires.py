"""Wire formats: how far what arrives may be from what was sent, and that nothing is lost for good."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from numpy.typing import NDArray

from paytrain.exchange.wires import WIRES
from paytrain.exchange.wires.base import BLOCK, Wire
from paytrain.exchange.wires.int8 import ROW, TINY
from paytrain.exchange.wires.topk import ONE_IN
from paytrain.job import WIRE_ITEM_BYTES, WIRES_WITH_RESIDUAL

EVERY_WIRE = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES.keys())
FLOAT32 = [name for name, wire in WIRES.items() if wire.dtype == np.float32]
SIZES = [0, 1, 3, ROW - 1, ROW, ROW + 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + ROW + 7]
Vector = NDArray[np.float32]

any_vector = st_numpy.arrays("<f4", st.integers(0, 2000), elements=st.floats(width=32), fill=st.floats(width=32))
finite_vector = st_numpy.arrays("<f4", st.integers(0, 2000), elements=st.floats(-(2.0**100), 2.0**100, width=32))


def random(elements: int, seed: int = 0) -> Vector:
    """Values of very different sizes."""
    source = np.random.default_rng((seed, elements))
    return (source.standard_normal(elements) * 10.0 ** source.integers(-6, 4, elements)).astype(np.float32)


def zeros(wire: Wire, elements: int) -> Vector | None:
    return np.zeros(elements, np.float32) if wire.has_residual else None


def passed(wire: Wire, values: Vector, residual: Vector | None = None) -> Vector:
    """What arrives of some values."""
    payload = wire.encode(values, zeros(wire, values.size) if residual is None else residual)
    assert payload.nbytes == wire.payload_bytes(values.size)
    out = np.full(values.size, np.nan, wire.dtype)
    wire.decode(payload, out)
    return out


@EVERY_WIRE
@pytest.mark.parametrize("elements", SIZES)
def test_decoding_and_adding_agree(wire: Wire, elements: int) -> None:
    # Given an encoded vector, which lies anywhere in memory, and a sum so far
    values, total = random(elements).astype(wire.dtype), random(elements, 1).astype(wire.dtype)
    payload = memoryview(b"?" + wire.encode(values, zeros(wire, elements)))[1:]
    decoded = np.empty_like(values)
    wire.decode(payload, decoded)
    # When it is added, then the sum is that of what it decodes to
    added = total.copy()
    wire.add(payload, added)
    assert added.tobytes() == (total + decoded).tobytes()


@EVERY_WIRE
def test_encoding_leaves_the_values_as_they_are(wire: Wire) -> None:
    values = random(1000).astype(wire.dtype)
    values.flags.writeable = False
    assert wire.encode(values, zeros(wire, 1000)) == wire.encode(values, zeros(wire, 1000))


@settings(deadline=None)
@given(any_vector)
def test_float16_is_rounded_as_numpy_rounds(values: Vector) -> None:
    with np.errstate(all="ignore"):
        expected = values.astype(np.float16).astype(np.float32)
    assert_same(passed(WIRES["float16"], values), expected)


def test_float16_rounds_every_number_between_two_to_the_nearer_one() -> None:
    # Given all float16, the float32 half way between each and the next, and those beside these
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    middles = ((halves[:-1] + halves[1:]) / 2).astype(np.float32)
    values = np.concatenate([halves, middles, np.nextafter(middles, np.float32(0)), np.nextafter(middles, halves[1:])])
    values = np.concatenate([values, -values])
    # When they travel, then they are rounded as NumPy does it
    assert_same(passed(WIRES["float16"], values), values.astype(np.float16).astype(np.float32))


@settings(deadline=None)
@given(any_vector)
def test_bfloat16_is_rounded_to_the_nearest(values: Vector) -> None:
    # Given any floats; the two bfloat16 around each are its upper half, and that one further from zero
    arrived = passed(WIRES["bfloat16"], values)
    below = (values.view(np.uint32) & 0xFFFF_0000).astype(np.uint32)
    above = (below + 0x1_0000).astype(np.uint32)
    lower = values.view(np.uint32) & 0xFFFF
    is_up = (lower > 0x8000) | ((lower == 0x8000) & (below >> 16 & 1 == 1))
    # When they travel, then each becomes the nearer one, of two equally near ones the even one
    expected = np.where(is_up, above, below).view(np.float32)
    assert_same(arrived, np.where(np.isnan(values), values, expected))


@settings(deadline=None)
@given(finite_vector)
def test_int8_is_off_by_half_a_step_at_most(values: Vector) -> None:
    wire = WIRES["int8"]
    arrived = passed(wire, values)
    for start in range(0, values.size, ROW):
        row, there = values[start : start + ROW].astype(np.float64), arrived[start : start + ROW].astype(np.float64)
        largest = np.abs(row).max()
        assert np.abs(row - there).max() <= max(largest / 127 * 0.5 * (1 + 1e-4), TINY)


@settings(deadline=None)
@given(finite_vector)
def test_topk_sends_the_largest_as_they_are(values: Vector) -> None:
    # Given any vector, when it travels
    arrived = passed(WIRES["topk"], values)
    # Then what arrives are the largest, of equal ones the first; the stable sort is the plainest way to say that
    count = -(-values.size // ONE_IN)
    largest = np.argsort(-np.abs(values.astype(np.float64)), kind="stable")[:count]
    expected = np.zeros_like(values)
    expected[largest] = values[largest]
    assert_same(arrived, expected + np.float32(0))


@pytest.mark.parametrize("kind", ["normal", "equal", "zeros", "one_block", "periodic", "one"])
def test_topk_chooses_alike_in_long_vectors(kind: str) -> None:
    # Given vectors that mislead a sample
    size = 4 * BLOCK + 11
    values = np.zeros(size, np.float32)
    if kind == "normal":
        values = random(size)
    elif kind == "equal":
        values[:] = -2
    elif kind == "one_block":
        values[BLOCK : BLOCK + 5000] = random(5000)
    elif kind == "periodic":
        values[::64] = 1 + random(values[::64].size) ** 2
        values[1::64] = 5e4
    elif kind == "one":
        values[77] = 1
    # When they travel, then the largest arrive, of equal ones the first
    largest = np.argsort(-np.abs(values), kind="stable")[: -(-size // ONE_IN)]
    expected = np.zeros(size, np.float32)
    expected[largest] = values[largest]
    assert_same(passed(WIRES["topk"], values), expected)


@pytest.mark.parametrize("name", FLOAT32)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -np.nan])
@pytest.mark.parametrize("elements", [1, 100, BLOCK + 5])
def test_what_is_not_finite_never_becomes_finite(name: str, bad: float, elements: int) -> None:
    # Given a vector with one bad value, also one whose bits rounding might carry away
    for at in {0, elements // 2, elements - 1}:
        values = random(elements)
        values[at] = bad
        if np.isnan(bad):
            values.view(np.uint32)[at] |= 0x7FFFFF
        # When it travels, then the value's place is not finite, and so is the sum to which it is added
        payload = WIRES[name].encode(values, zeros(WIRES[name], elements))
        total = np.ones(elements, np.float32)
        WIRES[name].add(payload, total)
        assert not np.isfinite(total[at])


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_too_large_becomes_infinite(name: str) -> None:
    values = np.array([np.finfo(np.float32).max, -np.finfo(np.float32).max], np.float32)
    assert passed(WIRES[name], values).tolist() == [np.inf, -np.inf]


@pytest.mark.parametrize("name", FLOAT32)
@pytest.mark.parametrize("scale", [1e-45, 1e-40, 1e-38, 1e-30, 1.0, 1e30])
def test_scales(name: str, scale: float) -> None:
    # Given values near the smallest and the largest floats, equal ones among them
    for values in (np.full(700, scale, np.float32), (random(700) * scale).astype(np.float32)):
        # When they travel, then they stay as large as they are, or become zero when they are tiny
        arrived = passed(WIRES[name], values)
        if name != "float16" or scale <= 1:
            assert np.isfinite(arrived).all()
            assert np.abs(arrived).max() <= np.abs(values).max() * 1.01


@pytest.mark.parametrize("name", WIRES_WITH_RESIDUAL)
@pytest.mark.parametrize("elements", [1, 99, 1000])
def test_nothing_is_lost_for_good(name: str, elements: int) -> None:
    # Given a wire with a residual, and gradients that have a mean
    wire, residual = WIRES[name], np.zeros(elements, np.float32)
    source = np.random.default_rng(1)
    mean = source.standard_normal(elements)
    sent, arrived = np.zeros(elements), np.zeros(elements)
    means = []
    # When they travel round after round
    for rounds in range(1, 401):
        values = (mean + source.standard_normal(elements)).astype(np.float32)
        sent += values
        arrived += passed(wire, values, residual)
        # Then what has not arrived is in the residual, to rounding
        if rounds % 100 == 0:
            assert arrived + residual == pytest.approx(sent, abs=1e-2)
            means.append(np.abs((sent - arrived) / rounds).max())
    # And the mean of what has arrived approaches that of what was sent
    assert means[-1] < max(means[0] / 2, 1e-6)


def test_words_of_the_job() -> None:
    # Given the wires, then the job knows them, what they take in long vectors, and which keep residuals
    assert set(WIRE_ITEM_BYTES) == set(WIRES)
    for name, wire in WIRES.items():
        assert wire.payload_bytes(512_000) == pytest.approx(512_000 * WIRE_ITEM_BYTES[name])
        assert wire.has_residual == (name in WIRES_WITH_RESIDUAL)
    assert len({wire.code for wire in WIRES.values()}) == len(WIRES)


def assert_same(arrived: Vector, expected: Vector) -> None:
    """The same bits; NaN is NaN."""
    np.testing.assert_array_equal(np.isnan(arrived), np.isnan(expected))
    is_number = ~np.isnan(expected)
    assert arrived[is_number].tobytes() == expected[is_number].tobytes()
