"""What would not train as Keras does is refused by name."""

import keras
import numpy as np
import pytest
from keras import layers

from paytrain.errors import JobError
from paytrain.exchange.wires import WIRES
from paytrain.training.data import Rows
from paytrain.training.trainer import Trainer
from tests.unit import keras_models


class Largest(keras.metrics.Metric):
    """A metric whose state is no sum."""

    def __init__(self) -> None:
        super().__init__(name="largest")
        self.value = self.add_weight(initializer="zeros")

    def update_state(self, y_true: object, y_pred: object, sample_weight: object = None) -> None:
        self.value.assign(keras.ops.maximum(self.value, keras.ops.max(y_pred)))

    def result(self) -> object:
        return self.value


SPARSE = "sparse_categorical_crossentropy"


@pytest.mark.parametrize(
    ("loss", "metrics", "complaint"),
    [
        (keras.losses.Dice(), [], "The loss Dice is not supported as compiled: it is no mean over samples."),
        ("dice", [], "The loss dice is not supported as compiled: it is no mean over samples."),
        (keras.losses.Tversky(), [], "The loss Tversky is not supported as compiled: it is no mean over samples."),
        (keras.losses.Circle(), [], "The loss Circle is not supported as compiled: it is no mean over samples."),
        (
            keras.losses.MeanSquaredError(reduction="none"),
            [],
            'The loss MeanSquaredError reduces by "none": it must be one of sum_over_batch_size, mean, '
            "mean_with_sample_weight, sum.",
        ),
        (
            "mse",
            [],
            "The labels do not fit the loss mse: they have shape (1,) per sample, the model's output (10,).",
        ),
        (None, [], "The model is compiled without a loss: compile it with one."),
        (SPARSE, [Largest()], "The metric largest (Largest) is not supported: its state is no sum."),
        (SPARSE, [keras.losses.Dice()], "The metric dice (MeanMetricWrapper) is not supported: its state is no sum."),
        (
            "categorical_crossentropy",
            [keras.metrics.F1Score(average=None)],
            "The metric f1_score (F1Score) is not supported: its result is no number.",
        ),
    ],
)
def test_a_loss_or_metric_that_is_no_sum_over_samples_is_refused(
    loss: object, metrics: list[keras.metrics.Metric], complaint: str
) -> None:
    # given
    x, y = keras_models.digits(20, "float32")
    model = keras_models.smooth("float32")
    model.compile("sgd", loss, metrics=metrics)
    labels = y if loss == SPARSE or isinstance(loss, keras.losses.Circle) else keras.utils.to_categorical(y, 10)

    # when
    with pytest.raises(JobError) as refused:
        keras_models.trainer(model, "float32", x, labels[:, :1] if loss == "mse" else labels)

    # then
    assert str(refused.value) == complaint


def refused(model: keras.Model, wire: str = "float32", **arrays: np.ndarray) -> str:
    with pytest.raises(JobError) as complaint:
        Trainer(model, wire, {name.replace("__", "/"): array for name, array in arrays.items()})
    return str(complaint.value)


def compiled(outputs: object, inputs: object, **arguments: object) -> keras.Model:
    model = keras.Model(inputs, outputs)
    model.compile("sgd", **{"loss": "mse", **arguments})
    return model


@pytest.fixture
def tokens() -> keras.KerasTensor:
    keras_models.use("float32")
    return layers.Input((6,), name="tokens")


X, Y = np.ones((1, 6), "float32"), np.ones((1, 2), "float32")


def test_a_frozen_model_is_refused(tokens: keras.KerasTensor) -> None:
    model = compiled(layers.Dense(2, trainable=False)(tokens), tokens)

    assert refused(model, x=X, y=Y) == "The model has nothing to train: all its layers are frozen."


def test_masks_that_are_trained_are_refused(tokens: keras.KerasTensor) -> None:
    steps = layers.Reshape((3, 2))(layers.Dense(6, activation="relu")(tokens))
    trainer = Trainer(compiled(layers.Masking()(steps), tokens), "float32", {"x": X, "y": np.ones((1, 3, 2))})

    with pytest.raises(JobError) as complaint:
        trainer.divisors(Rows({"x": X, "y": np.ones((1, 3, 2))}))

    assert str(complaint.value) == (
        "The model masks its output by a trained value: masks must depend on its inputs alone."
    )


def test_a_weight_per_sample_where_the_loss_has_one_per_step_is_refused(tokens: keras.KerasTensor) -> None:
    model = compiled(layers.Reshape((3, 2))(layers.Dense(6)(tokens)), tokens)

    assert refused(model, x=X, y=np.ones((1, 3, 2)), sample_weight=np.ones(1)) == (
        "sample_weight has one number per sample, but the loss mse has (3,) per sample: Keras needs a "
        "weight for each, or an axis of length 1 more."
    )


@pytest.mark.parametrize(
    ("arrays", "wrong"),
    [
        ({"x": X, "y": Y}, "lacks x/tokens, x/more, y/first, y/second and has x, y"),
        ({"x__tokens": X, "y__first": Y, "y__second": Y}, "lacks x/more"),
        ({"x__tokens": X, "x__more": X, "y__first": Y, "y__second": Y, "y__third": Y}, "has y/third"),
    ],
    ids=["names-for-one", "missing", "superfluous"],
)
def test_arrays_that_do_not_fit_are_named(tokens: keras.KerasTensor, arrays: dict[str, np.ndarray], wrong: str) -> None:
    more = layers.Input((6,), name="more")
    both = layers.Add()([tokens, more])
    model = compiled([layers.Dense(2, name="first")(both), layers.Dense(2, name="second")(both)], [tokens, more])

    assert refused(model, **arrays) == (
        "The data do not fit the model: it takes the arrays x/tokens, x/more, y/first, y/second and, if wanted, "
        f"sample_weight; the data set {wrong}."
    )


def test_outputs_of_the_same_name_are_refused(tokens: keras.KerasTensor) -> None:
    shared = layers.Dense(2, name="head")
    model = compiled([shared(tokens), shared(layers.Activation("tanh")(tokens))], tokens)

    assert refused(model, x=X, y=Y).startswith("The model's outputs (head, head) are not supported: they must be one")


def test_a_stateful_layer_is_refused() -> None:
    keras_models.use("float32")
    steps = layers.Input(batch_shape=(1, 3, 2))
    model = compiled(layers.LSTM(2, stateful=True, name="lstm")(steps), steps)

    assert refused(model, x=np.ones((1, 3, 2)), y=Y).startswith("The layer lstm is stateful: that is not supported")


def test_a_scaled_loss_of_mixed_float16_is_refused() -> None:
    keras.config.set_dtype_policy("mixed_float16")
    steps = layers.Input((6,))
    model = compiled(layers.Dense(2)(steps), steps)

    assert refused(model, x=X, y=Y).startswith("The optimizer LossScaleOptimizer is not supported")


def test_shapes_that_do_not_fit_are_shown(tokens: keras.KerasTensor) -> None:
    model = compiled(layers.Dense(2)(tokens), tokens)

    assert refused(model, x=X[:, :5], y=Y).startswith(
        "The data do not fit the model: they have x float32 (5,), y float32 (2,) per sample ("
    )


@pytest.mark.parametrize("wire", [name for name in WIRES if name != "float64"])
def test_a_float64_model_needs_its_own_wire(wire: str) -> None:
    # given
    x, y = keras_models.digits(20, "float64")
    model = keras_models.smooth("float64")
    model.compile("sgd", SPARSE)

    # when
    with pytest.raises(JobError) as refused:
        keras_models.trainer(model, wire, x, y)

    # then
    assert str(refused.value).startswith(f'wire = "{wire}" is not allowed: ')
    assert str(refused.value).endswith(' is float64, so it must be "float64".')
