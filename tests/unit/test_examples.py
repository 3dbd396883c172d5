import struct

import numpy as np
import pytest

from examples import build
from examples.build import ExampleError, number_shared_objects, read_idx


def idx(shape, values, kind=0x08):
    return bytes([0, 0, kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + bytes(values)


@pytest.mark.parametrize("shape", [(0,), (1,), (5,), (2, 3, 4), (0, 28, 28)])
def test_idx_files_are_read_in_any_shape(shape):
    values = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)

    array = read_idx(idx(shape, values.tobytes()))

    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, values)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0",
        idx((3,), b"abc", kind=0x0D),
        b"PK\3\4rest",
        idx((4,), b"abc"),
        idx((2,), b"abc"),
        bytes([0, 0, 8, 2]),
    ],
)
def test_what_is_no_idx_file_of_bytes_is_refused(data):
    with pytest.raises(ExampleError, match="IDX"):
        read_idx(data)


def test_shared_objects_are_numbered_in_order_of_appearance():
    config = '[{"shared_object_id": 7042}, {"shared_object_id": 99}, {"shared_object_id": 7042}, {"units": 7042}]'

    assert number_shared_objects(config) == (
        '[{"shared_object_id": 1}, {"shared_object_id": 2}, {"shared_object_id": 1}, {"units": 7042}]'
    )


def test_a_machine_that_is_not_set_up_is_told_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "MNIST", tmp_path / "absent")

    with pytest.raises(ExampleError, match="npm ci"):
        build.ensure()


def test_the_examples_are_built_once_and_hold_mnist():
    built = build.ensure()["mnist"]
    times = {role: path.stat().st_mtime_ns for role, path in built.items()}

    again = build.ensure()["mnist"]

    assert {role: path.stat().st_mtime_ns for role, path in again.items()} == times
    for role, samples in (("train", 60_000), ("validation", 10_000)):
        with np.load(built[role]) as data:
            assert (data["x"].shape, data["x"].dtype) == ((samples, 28, 28, 1), np.uint8)
            assert (data["y"].shape, data["y"].dtype) == ((samples,), np.uint8)
            assert sorted(set(data["y"].tolist())) == list(range(10))
