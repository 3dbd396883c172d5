"""A frame comes back as it was written, and nothing else is taken for it."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from numpy.typing import NDArray

from paytrain.errors import FrameError
from paytrain.exchange.frame import Frame, Tally, decode, encode, frame_bytes
from paytrain.exchange.wires import WIRES, exact_for
from paytrain.exchange.wires.base import Wire

NAME, RANK, ROUND = "run/0/0/70000/0/1/3#0", 3, 70_000
EVERY_WIRE = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES.keys())


def tally(metrics: int = 2) -> Tally:
    return Tally(samples=64, votes=5, metrics=np.arange(metrics) + 0.5)


def vector(elements: int, dtype: np.dtype) -> NDArray[Any]:
    return np.random.default_rng(elements).standard_normal(elements).astype(dtype)


def written(values: NDArray[Any], beside: Tally, wire: Wire | None = None, **named: Any) -> bytes:
    """A frame as it travels, exactly if no wire is given."""
    wire = wire or exact_for(values.dtype)
    residual = np.zeros(values.size, np.float32) if wire.has_residual else None
    payload = wire.encode(values, residual)
    return b"".join(encode(payload, beside, wire=wire, elements=values.size, **named))


def values_of(frame: Frame, like: NDArray[Any], wire: Wire | None = None) -> NDArray[Any]:
    """The slice of a frame."""
    out = np.empty_like(like)
    (wire or exact_for(like.dtype)).decode(frame.payload, out)
    return out


def read(data: Any, values: NDArray[Any], **changed: Any) -> Frame:
    """Decode what a reader expects who knows all but the content."""
    expected = {
        "name": NAME,
        "rank": RANK,
        "round_": ROUND,
        "elements": values.size,
        "metrics": 2,
        "wire": exact_for(values.dtype),
    }
    return decode(data, **{**expected, **changed})


@EVERY_WIRE
@pytest.mark.parametrize("elements", [0, 1, 2, 1000])
@pytest.mark.parametrize("metrics", [0, 1, 5])
def test_a_frame_comes_back_as_it_was(wire: Wire, elements: int, metrics: int) -> None:
    # Given a slice of numbers that no wire changes, and what travels beside it
    values, beside = np.zeros(elements, wire.dtype), tally(metrics)
    values[:1] = 127
    # When it is written and read
    data = written(values, beside, wire, name=NAME, rank=RANK, round_=ROUND)
    frame = read(data, values, metrics=metrics, wire=wire)
    # Then everything is there, in the length that its reader knew
    assert len(data) == frame_bytes(elements, metrics, wire)
    assert (frame.rank, frame.round, frame.tally.samples, frame.tally.votes) == (RANK, ROUND, 64, 5)
    assert frame.tally.metrics.tobytes() == beside.metrics.tobytes()
    assert values_of(frame, values, wire).tobytes() == values.tobytes()


@settings(deadline=None, max_examples=50)
@given(values=st_numpy.arrays("<f4", st.integers(0, 20), elements=st.floats(width=32)))
def test_no_value_is_special(values: NDArray[np.float32]) -> None:
    # Given any floats, infinities, NaNs, negative zeros and subnormals among them, then their bits travel
    frame = read(written(values, tally(), name=NAME, rank=RANK, round_=ROUND), values)
    assert values_of(frame, values).tobytes() == values.tobytes()


def test_the_numbers_beside_may_be_large() -> None:
    # Given the confusion matrix of 300 classes, the largest vote and rank, and a round late in a long lap
    values, beside = vector(2, np.dtype("<f4")), Tally(2**63, 2**16 - 1, np.zeros(300 * 300))
    # When the frame is read
    frame = read(
        written(values, beside, name=NAME, rank=999, round_=2**40), values, rank=999, round_=2**40, metrics=90_000
    )
    # Then nothing has been cut off
    assert (frame.tally.samples, frame.tally.votes, frame.tally.metrics.size) == (2**63, 2**16 - 1, 90_000)


def test_a_slice_of_a_strided_vector() -> None:
    values = vector(10, np.dtype("<f8"))[::3]
    frame = read(written(values, tally(), name=NAME, rank=RANK, round_=ROUND), values)
    assert (values_of(frame, values) == values).all()


@EVERY_WIRE
def test_every_flipped_bit_is_noticed(wire: Wire) -> None:
    # Given a small frame
    values = vector(3, wire.dtype)
    data = written(values, tally(), wire, name=NAME, rank=RANK, round_=ROUND)
    # When any one of its bits is flipped, then it is refused
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FrameError, match="corrupt" if bit >= 8 * 5 else "foreign"):
            read(flipped, values, wire=wire)


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0", lambda data: b""])
def test_another_length_is_refused(change: Any) -> None:
    values = vector(3, np.dtype("<f4"))
    data = change(written(values, tally(), name=NAME, rank=RANK, round_=ROUND))
    with pytest.raises(FrameError, match=rf" of rank 3 in round 70000 has {len(data)} bytes instead of 76\.$"):
        read(data, values)


def test_foreign_bytes_are_refused() -> None:
    values = vector(3, np.dtype("<f4"))
    with pytest.raises(FrameError, match=r"^The frame of rank 3 in round 70000 begins with b'PK"):
        read(b"PK\3\4" + bytes(72), values)


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"rank": 2}, "The frame of rank 2 in round 70000 is another one: rank 3 instead of 2."),
        ({"round_": 1}, "The frame of rank 3 in round 1 is another one: round 70000 instead of 1."),
        (
            {"wire": WIRES["float64"], "elements": 2},
            "The frame of rank 3 in round 70000 is another one: wire float32 instead of float64, "
            "elements 4 instead of 2.",
        ),
        (
            {"wire": WIRES["bfloat16"], "elements": 8},
            "The frame of rank 3 in round 70000 is another one: wire float32 instead of bfloat16, "
            "elements 4 instead of 8.",
        ),
        (
            {"metrics": 3, "elements": 2},
            "The frame of rank 3 in round 70000 is another one: metrics 2 instead of 3, elements 4 instead of 2.",
        ),
    ],
)
def test_a_sound_frame_in_the_wrong_place_is_refused_by_name(changed: dict[str, Any], complaint: str) -> None:
    # Given a frame of the right length, whose reader expects another one
    values = vector(4, np.dtype("<f4"))
    data = written(values, tally(), name=NAME, rank=RANK, round_=ROUND)
    # When it is read
    with pytest.raises(FrameError) as refused:
        read(data, values, **changed)
    # Then the error names what differs
    assert str(refused.value) == complaint


def test_a_frame_under_another_name_is_refused() -> None:
    values = vector(3, np.dtype("<f4"))
    data = written(values, tally(), name="run/0/0/70000/1/1/3#0", rank=RANK, round_=ROUND)
    with pytest.raises(FrameError, match=r"is corrupt, or not run/0/0/70000/0/1/3#0: "):
        read(data, values)


def test_what_was_read_cannot_be_changed() -> None:
    values = vector(3, np.dtype("<f4"))
    frame = read(bytearray(written(values, tally(), name=NAME, rank=RANK, round_=ROUND)), values)
    assert frame.payload.readonly


def test_tallies_add_up() -> None:
    # Given two contributions, when they are added
    total = Tally(3, 1, np.array([1.0, 2.0])).plus(Tally(4, 4, np.array([0.5, 0.25])))
    # Then counts and sums are added and votes joined
    assert (total.samples, total.votes, total.metrics.tolist()) == (7, 5, [1.5, 2.25])
