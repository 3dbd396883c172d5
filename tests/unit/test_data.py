"""Data sets: what is read, and what is refused with one sentence."""

import io
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from paytrain.errors import JobError
from paytrain.plan import Source
from paytrain.training import data
from paytrain.training.data import Rows
from paytrain.training.ranges import ranges, refuse_outside
from paytrain.training.trainer import Trainer
from tests.unit import keras_models

X, Y = np.arange(8.0).reshape(4, 2), np.arange(4)


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{name.replace("__", "/"): array for name, array in arrays.items()})
    return buffer.getvalue()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Rows]:
    """Index a data set of some objects."""

    def index(*bodies: bytes) -> Rows:
        sources = [Source(uri=f"s3://b/{number}.npz", etag="") for number in range(len(bodies))]
        by_uri = dict(zip([source.uri for source in sources], bodies, strict=True))
        monkeypatch.setattr(data, "list_objects", lambda uri: sources)
        monkeypatch.setattr(data, "opened", lambda uri, etag: io.BytesIO(by_uri[uri]))
        indexed, rows = data.index("s3://b/")
        assert sum(source.rows for source in indexed) == len(rows)
        return rows

    return index


def test_one_object(read: Callable[..., Rows]) -> None:
    rows = read(npz(x=X, y=Y, sample_weight=Y))

    assert len(rows) == 4
    assert {name: array.dtype for name, array in rows.arrays.items()} == {
        "x": np.float64, "y": np.int64, "sample_weight": np.int64
    }  # fmt: skip
    np.testing.assert_array_equal(rows.take(np.array([2, 0]))["x"], X[[2, 0]])


def test_a_prefix_of_several_inputs_is_joined_in_order(read: Callable[..., Rows]) -> None:
    rows = read(npz(x__a=X, x__b=Y, y=Y), npz(x__a=X + 8, x__b=Y + 4, y=Y))

    np.testing.assert_array_equal(rows.arrays["x/a"], np.arange(16.0).reshape(8, 2))
    np.testing.assert_array_equal(rows.arrays["x/b"], np.arange(8))


NAN = X.copy()
NAN[2, 1] = np.nan
OBJECTS = np.array([{}, [], 1, "a"], dtype=object)


@pytest.mark.parametrize(
    ("objects", "sentence"),
    [
        ([b""], "it must be an .npz of plain numbers (No data left in file)."),
        ([b"PK\3\4 no zip"], "it must be an .npz of plain numbers (File is not a zip file)."),
        ([npz(x=X)], "it has the arrays x and lacks y."),
        ([npz(a=X, b=Y)], "it has the arrays a, b and lacks x and y."),
        (
            [npz(x=X, y=Y, z=Y)],
            "it has the array z; allowed are x, y and sample_weight, and with several inputs or outputs x/<input>, "
            "y/<output> and sample_weight/<output>.",
        ),
        ([npz(x=X, y=Y[:3])], "x has 4 rows and y has 3; they must be equal."),
        ([npz(x=X, y=np.float32(1))], "y has dtype float32 and shape (); it must be rows of numbers."),
        ([npz(x=np.array(["a", "b"]), y=Y[:2])], "x has dtype <U1 and shape (2,); it must be rows of numbers."),
        ([npz(x=NAN, y=Y)], "x is NaN or infinite in row 2."),
        ([npz(x=X, y=np.array([0, 1, 2, np.inf]))], "y is NaN or infinite in row 3."),
    ],
)
def test_bad_objects_are_refused(read: Callable[..., Rows], objects: list[bytes], sentence: str) -> None:
    with pytest.raises(JobError) as refused:
        read(*objects)

    assert str(refused.value) == f'data = "s3://b/0.npz" is not allowed: {sentence}'


def test_object_arrays_are_refused_without_unpickling(read: Callable[..., Rows]) -> None:
    with pytest.raises(JobError, match=r'^data = "s3://b/0.npz" is not allowed: it must be an .npz of plain numbers'):
        read(npz(x=OBJECTS, y=Y))


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        (npz(x=X[:, :1], y=Y), "x is float64 (1,) per sample, in the first object float64 (2,)."),
        (npz(x=X.astype("float32"), y=Y), "x is float32 (2,) per sample, in the first object float64 (2,)."),
        (npz(x=X, y=Y, sample_weight=Y), "it has the arrays sample_weight, x, y, the first object x, y."),
        (npz(x=NAN, y=Y), "x is NaN or infinite in row 2."),
    ],
)
def test_objects_of_a_prefix_that_do_not_fit_are_refused(
    read: Callable[..., Rows], second: bytes, sentence: str
) -> None:
    with pytest.raises(JobError) as refused:
        read(npz(x=X, y=Y), second)

    assert str(refused.value) == f'data = "s3://b/1.npz" is not allowed: {sentence}'


def classifier(loss: Any, units: int = 3, activation: str = "softmax") -> keras.Model:
    keras_models.use("float32")
    model = keras.Sequential([layers.Input((2,)), layers.Dense(units, activation)])
    model.compile("sgd", loss)
    return model


def reader() -> keras.Model:
    keras_models.use("float32")
    model = keras.Sequential(
        [layers.Input((2,), dtype="int32"), layers.Embedding(5, 2), layers.Flatten(), layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    return model


SPARSE = "sparse_categorical_crossentropy"
IGNORING = keras.losses.SparseCategoricalCrossentropy(ignore_class=-1)
SOURCES = [Source(uri="s3://b/0.npz", etag="", rows=3), Source(uri="s3://b/1.npz", etag="", rows=1)]


@pytest.mark.parametrize(
    ("model", "x", "y", "sentence"),
    [
        (lambda: classifier(SPARSE), X, Y, "1.npz\" is not allowed: y is 3 in row 0; the loss "
         "sparse_categorical_crossentropy with 3 classes takes whole numbers from 0 to 2."),
        (lambda: classifier(SPARSE), X, Y - 1, '0.npz" is not allowed: y is -1 in row 0; the loss '
         "sparse_categorical_crossentropy with 3 classes takes whole numbers from 0 to 2."),
        (lambda: classifier(SPARSE), X, Y / 2, '0.npz" is not allowed: y is 0.5 in row 1; the loss '
         "sparse_categorical_crossentropy with 3 classes takes whole numbers from 0 to 2."),
        (lambda: classifier(IGNORING), X, Y - 2, '0.npz" is not allowed: y is -2 in row 0; the loss '
         "sparse_categorical_crossentropy with 3 classes takes whole numbers from 0 to 2, and -1."),
        (lambda: classifier("binary_crossentropy", 1, "sigmoid"), X, Y,
         '0.npz" is not allowed: y is 2 in row 2; the loss '
         "binary_crossentropy takes numbers from 0 to 1."),
        (reader, X, Y, '0.npz" is not allowed: x is 5.0 in row 2; the layer {} with input_dim 5 takes whole '
         "numbers from 0 to 4."),
    ],
    ids=["large", "negative", "fraction", "ignored", "binary", "token"],
)  # fmt: skip
def test_values_that_do_not_fit_the_model_are_refused(
    model: Callable[[], keras.Model], x: np.ndarray, y: np.ndarray, sentence: str
) -> None:
    # given
    made, rows = model(), Rows({"x": x, "y": y})
    trainer = Trainer(made, "float32", {"x": np.zeros((1, 2)), "y": np.zeros(1)})

    # when
    with pytest.raises(JobError) as refused:
        refuse_outside(list(ranges(made, trainer.layout)), SOURCES, rows)

    # then
    assert str(refused.value) == 'data = "s3://b/' + sentence.format(made.layers[0].name)


def test_values_that_fit_are_not_refused() -> None:
    made = classifier(IGNORING)
    trainer = Trainer(made, "float32", {"x": np.zeros((1, 2)), "y": np.zeros(1)})

    refuse_outside(list(ranges(made, trainer.layout)), SOURCES, Rows({"x": X, "y": np.array([-1.0, 0, 1, 2])}))
