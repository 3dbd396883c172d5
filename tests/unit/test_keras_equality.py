"""Synchronous training with W workers and batch b is Keras training on the same global batches of W·b."""

from collections.abc import Callable

import keras
import numpy as np
import pytest

from paytrain.training.batches import Batches
from paytrain.training.data import Rows
from paytrain.training.trainer import Trainer
from tests.unit import keras_models
from tests.unit.ranks_in_process import train_in_process

SAMPLES, GLOBAL_BATCH, STEPS = 1000, 64, 50
"""16 steps an epoch, the last one short: 50 steps see three short batches."""

OPTIMIZERS: dict[str, Callable[[], keras.optimizers.Optimizer]] = {
    "sgd": lambda: keras.optimizers.SGD(0.05, momentum=0.9),
    "slow": lambda: keras.optimizers.SGD(0.0005),
    "adam": lambda: keras.optimizers.Adam(0.002),
    "clipped": lambda: keras.optimizers.SGD(0.05, global_clipnorm=0.1),
    "schedule": lambda: keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.01, 40)),
}


def compiled(build: Callable[[str], keras.Model], dtype: str, optimizer: str, reduction: str) -> keras.Model:
    model = build(dtype)
    loss = keras.losses.SparseCategoricalCrossentropy(reduction=reduction)
    model.compile(OPTIMIZERS[optimizer](), loss, metrics=["accuracy"])
    return model


def keras_weights(model: keras.Model, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Train with plain Keras on the global batches."""
    batches = Batches(SAMPLES, GLOBAL_BATCH, 1, seed=5, shuffle=True)
    for step in range(STEPS):
        rows = batches.global_rows(step)
        model.train_on_batch(x[rows], y[rows])
    return flat(model)


def train(trainer: Trainer, batches: Batches, steps: range, x: np.ndarray, y: np.ndarray) -> list[dict[str, float]]:
    """Train with all ranks in this process; returns what a history has for each finished epoch."""
    return train_in_process(trainer, Rows({"x": x, "y": y}), batches, steps)


def flat(model: keras.Model) -> np.ndarray:
    return np.concatenate([weight.ravel() for weight in model.get_weights()])


SMOOTH = (keras_models.smooth, "float32", 1e-5)
KINKED = (keras_models.kinked, "float64", 1e-12)
EVERYWHERE = [(name, workers) for name in ("sgd", "adam") for workers in (1, 2, 4)] + [("clipped", 4)]
CASES = [
    *[(*SMOOTH, *case) for case in EVERYWHERE],
    *[(*KINKED, *case) for case in EVERYWHERE],
    # Keras computes a schedule in float32, whatever the model's type: only a float32 model can be held to rounding.
    (*SMOOTH, "schedule", 4),
]


@pytest.mark.parametrize(
    ("build", "dtype", "tolerance", "optimizer", "workers"),
    CASES,
    ids=[f"{dtype}-{build.__name__}-{optimizer}-{workers}" for build, dtype, _, optimizer, workers in CASES],
)
def test_weights_are_those_of_keras(
    build: Callable[[str], keras.Model], dtype: str, tolerance: float, optimizer: str, workers: int
) -> None:
    # given
    x, y = keras_models.digits(SAMPLES, dtype)
    reference = keras_weights(compiled(build, dtype, optimizer, "sum_over_batch_size"), x, y)
    trainer = keras_models.trainer(compiled(build, dtype, optimizer, "sum_over_batch_size"), dtype, x, y)
    before = flat(trainer.model)

    # when
    train(trainer, Batches(SAMPLES, GLOBAL_BATCH // workers, workers, seed=5, shuffle=True), range(STEPS), x, y)

    # then
    assert np.abs(reference - before).max() > 1e-2, "training has moved the weights"
    assert np.abs(flat(trainer.model) - reference).max() <= tolerance


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum"])
def test_history_without_shuffling_is_that_of_fit(reduction: str) -> None:
    # given
    x, y = keras_models.digits(SAMPLES, "float64")
    reference = compiled(keras_models.kinked, "float64", "slow", reduction)
    trainer = keras_models.trainer(compiled(keras_models.kinked, "float64", "slow", reduction), "float64", x, y)
    theirs = reference.fit(x, y, batch_size=GLOBAL_BATCH, epochs=2, shuffle=False, verbose=0).history

    # when
    batches = Batches(SAMPLES, GLOBAL_BATCH // 4, 4, seed=5, shuffle=False)
    ours = train(trainer, batches, range(2 * batches.steps_per_epoch), x, y)

    # then
    assert [epoch["loss"] for epoch in ours] == pytest.approx(theirs["loss"], rel=1e-6)
    assert [epoch["accuracy"] for epoch in ours] == pytest.approx(theirs["accuracy"], abs=1e-6)


@pytest.mark.parametrize("workers", [2, 3, 4])
@pytest.mark.parametrize("reduction", ["sum", "sum_over_batch_size"])
def test_unequal_counts_and_regularisation(reduction: str, workers: int) -> None:
    """A global batch that does not divide by the world size, with a regularised layer."""
    # given
    dtype = "float64"
    x, y = keras_models.digits(SAMPLES, dtype)

    def build(_: str) -> keras.Model:
        keras_models.use(dtype)
        keras.utils.set_random_seed(1)
        dense = keras.layers.Dense(keras_models.CLASSES, "softmax", kernel_regularizer=keras.regularizers.L2(0.1))
        model = keras.Sequential([keras.layers.Input((8, 8, 1)), keras.layers.Flatten(), dense])
        loss = keras.losses.SparseCategoricalCrossentropy(reduction=reduction)
        model.compile(keras.optimizers.SGD(0.001, momentum=0.9), loss, metrics=["accuracy"])
        return model

    reference = build(dtype)
    trainer = keras_models.trainer(build(dtype), dtype, x, y)
    batches = Batches(samples=95, batch_size=13, world_size=workers, seed=3, shuffle=True)
    steps = 2 * batches.steps_per_epoch

    # when
    for step in range(steps):
        rows = batches.global_rows(step)
        reference.train_on_batch(x[rows], y[rows])
    train(trainer, batches, range(steps), x, y)

    # then
    sizes = {len(batches.rows(step, rank)) for step in range(steps) for rank in range(workers)}
    assert len(sizes) > 1, "some batches are short"
    assert np.abs(flat(trainer.model) - flat(reference)).max() <= 1e-12
