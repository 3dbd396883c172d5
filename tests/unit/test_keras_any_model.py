"""Models of many kinds train as plain Keras does on the same global batches."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from paytrain.training.batches import Batches
from paytrain.training.data import Rows
from paytrain.training.trainer import Trainer
from tests.unit import keras_models
from tests.unit.ranks_in_process import evaluate_in_process, train_in_process

SAMPLES, WORKERS, BATCH, EPOCHS = 32, 2, 8, 3
"""Two steps an epoch of equal parts, to trace once; parts that are not equal are tested in test_keras_equality."""
WORDS, LENGTH = 20, 6
RNG = np.random.default_rng(3)
FEATURES = RNG.standard_normal((SAMPLES, 4))
TOKENS = RNG.integers(1, WORDS, (SAMPLES, LENGTH))
PADDED = np.where(np.arange(LENGTH) < RNG.integers(1, LENGTH + 1, SAMPLES)[:, None], TOKENS, 0)
NUMBER = RNG.standard_normal((SAMPLES, 2))
CLASS = RNG.integers(0, 3, SAMPLES)
YES = RNG.integers(0, 2, (SAMPLES, 1))
TAGS = RNG.integers(0, 3, (SAMPLES, LENGTH))
WEIGHT = RNG.uniform(0, 3, SAMPLES) * (RNG.uniform(size=SAMPLES) > 0.3)
WEIGHTS = RNG.uniform(0, 3, (SAMPLES, LENGTH))

Arrays = dict[str, np.ndarray]
Case = tuple[Callable[[], keras.Model], Arrays]


def model(inputs: Any, outputs: Any, **compiled: Any) -> keras.Model:
    made = keras.Model(inputs, outputs)
    compiled.setdefault("optimizer", keras.optimizers.SGD(0.1, momentum=0.9))
    made.compile(**compiled)
    return made


def dense(loss: Any = "mse", units: int = 2, activation: str | None = None, **compiled: Any) -> keras.Model:
    features = layers.Input((4,))
    hidden = layers.Dense(8, activation="tanh")(features)
    return model(features, layers.Dense(units, activation)(hidden), loss=loss, **compiled)


def tagger(loss: Any, mask: bool = True, **compiled: Any) -> keras.Model:
    tokens = layers.Input((LENGTH,), dtype="int32")
    embedded = layers.Embedding(WORDS, 5, mask_zero=mask)(tokens)
    hidden = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(embedded)
    return model(tokens, layers.Dense(3, activation="softmax")(hidden), loss=loss, **compiled)


def reader(**compiled: Any) -> keras.Model:
    tokens = layers.Input((LENGTH,), dtype="int32")
    hidden = layers.GRU(4)(layers.Embedding(WORDS, 5, mask_zero=True)(tokens))
    return model(tokens, layers.Dense(1, activation="sigmoid")(hidden), loss="binary_crossentropy", **compiled)


def bag_of_words(**compiled: Any) -> keras.Model:
    tokens = layers.Input((LENGTH,), dtype="int32")
    hidden = layers.GlobalAveragePooling1D()(layers.Embedding(WORDS, 5)(tokens))
    return model(tokens, layers.Dense(1, activation="sigmoid")(hidden), loss="binary_crossentropy", **compiled)


def two_by_two(form: str = "list", mask: bool = False, **compiled: Any) -> keras.Model:
    """Two inputs, two outputs; ``form`` is how the model holds them."""
    features, tokens = layers.Input((4,), name="features"), layers.Input((LENGTH,), name="tokens", dtype="int32")
    embedded = layers.Embedding(WORDS, 5, mask_zero=mask)(tokens)
    both = layers.Concatenate()([layers.Dense(6, activation="tanh")(features), layers.LSTM(4)(embedded)])
    number = layers.Dense(2, name="number")(both)
    sort = layers.Dense(3, activation="softmax", name="sort")(both)
    compiled.setdefault("loss", {"number": "mse", "sort": "sparse_categorical_crossentropy"})
    if form == "dict":
        return model({"features": features, "tokens": tokens}, {"sort": sort, "number": number}, **compiled)
    return model([features, tokens], [number, sort], **compiled)


def tagger_and_reader(**compiled: Any) -> keras.Model:
    """A masked output beside one that is not: two divisors."""
    tokens = layers.Input((LENGTH,), dtype="int32")
    hidden = layers.LSTM(4, return_sequences=True)(layers.Embedding(WORDS, 5, mask_zero=True)(tokens))
    tags = layers.Dense(3, activation="softmax", name="tags")(hidden)
    positive = layers.Dense(1, activation="sigmoid", name="positive", kernel_regularizer="l2")(layers.LSTM(3)(hidden))
    loss = {"tags": "sparse_categorical_crossentropy", "positive": "binary_crossentropy"}
    return model(tokens, [tags, positive], loss=loss, **compiled)


def regularised(loss: Any) -> keras.Model:
    features = layers.Input((4,))
    hidden = layers.Dense(8, "tanh", kernel_regularizer="l1", activity_regularizer=keras.regularizers.L2(0.1))(features)
    return model(features, layers.Dense(2)(hidden), loss=loss)


def partly_trained(**compiled: Any) -> keras.Model:
    """A frozen layer, and an output without a loss whose layer gets no gradient."""
    features = layers.Input((4,))
    hidden = layers.Dense(8, activation="tanh", trainable=False)(features)
    return model(features, [layers.Dense(2, name="number")(hidden), layers.Dense(2, name="idle")(hidden)], **compiled)


XY: Arrays = {"x": FEATURES, "y": NUMBER}
MASKED: Arrays = {"x": PADDED, "y": TAGS}
TWO: Arrays = {"x/features": FEATURES, "x/tokens": PADDED, "y/number": NUMBER, "y/sort": CLASS}
SPARSE = "sparse_categorical_crossentropy"


def mse(reduction: str) -> keras.losses.Loss:
    return keras.losses.MeanSquaredError(reduction=reduction)


def sparse(**arguments: Any) -> keras.losses.Loss:
    return keras.losses.SparseCategoricalCrossentropy(**arguments)


def adam(**arguments: Any) -> keras.optimizers.Optimizer:
    return keras.optimizers.Adam(0.02, **arguments)


def sgd(**arguments: Any) -> keras.optimizers.Optimizer:
    return keras.optimizers.SGD(0.1, momentum=0.9, **arguments)


CASES: dict[str, Case] = {
    "regression": (lambda: dense(metrics=["mae", keras.metrics.RootMeanSquaredError(), "r2_score"]), XY),
    "binary": (
        lambda: dense("binary_crossentropy", 1, "sigmoid", metrics=["accuracy", keras.metrics.AUC(name="auc")]),
        {"x": FEATURES, "y": YES},
    ),
    "flat labels": (lambda: dense("binary_crossentropy", 1, "sigmoid"), {"x": FEATURES, "y": YES[:, 0]}),
    "multi-class": (
        lambda: dense(
            "categorical_crossentropy", 3, "softmax", metrics=["accuracy", keras.metrics.Precision(name="precision")]
        ),
        {"x": FEATURES, "y": np.eye(3)[CLASS]},
    ),
    "weighted": (lambda: dense(metrics=["mae"], weighted_metrics=["mae"]), XY | {"sample_weight": WEIGHT}),
    "weighted sum": (lambda: dense(mse("sum"), optimizer=keras.optimizers.SGD(0.01)), XY | {"sample_weight": WEIGHT}),
    "mean of weights": (lambda: dense(mse("mean_with_sample_weight")), XY | {"sample_weight": WEIGHT}),
    "mean of no weights": (lambda: dense(mse("mean_with_sample_weight")), XY),
    "regularised": (lambda: regularised("mse"), XY),
    "regularised mean of weights": (
        lambda: regularised(mse("mean_with_sample_weight")),
        XY | {"sample_weight": WEIGHT},
    ),
    "tagger": (lambda: tagger(SPARSE, mask=False, metrics=["accuracy"]), {"x": TOKENS, "y": TAGS}),
    "masked": (lambda: tagger(SPARSE, metrics=["accuracy"], weighted_metrics=["accuracy"]), MASKED),
    "masked sum": (lambda: tagger(sparse(reduction="sum"), optimizer=keras.optimizers.SGD(0.01)), MASKED),
    "masked and weighted": (
        lambda: tagger(SPARSE, weighted_metrics=["accuracy"]),
        MASKED | {"sample_weight": WEIGHTS},
    ),
    "masked mean of weights": (
        lambda: tagger(sparse(reduction="mean_with_sample_weight")),
        MASKED | {"sample_weight": WEIGHTS},
    ),
    "weights for all steps of a sample": (lambda: tagger(SPARSE), MASKED | {"sample_weight": WEIGHT[:, None]}),
    "ignored class": (lambda: tagger(sparse(ignore_class=1), mask=False), {"x": TOKENS, "y": TAGS}),
    "ignored class, masked": (lambda: tagger(sparse(ignore_class=1)), MASKED),
    "mask inside": (lambda: reader(metrics=["accuracy"]), {"x": PADDED, "y": YES}),
    "sparse gradient": (lambda: bag_of_words(), {"x": TOKENS, "y": YES}),
    "sparse gradient, adam": (lambda: bag_of_words(optimizer=adam()), {"x": TOKENS, "y": YES}),
    "sparse gradient, clipped": (lambda: bag_of_words(optimizer=sgd(global_clipnorm=0.1)), {"x": TOKENS, "y": YES}),
    "two by two": (lambda: two_by_two(metrics={"number": "mae", "sort": ["accuracy"]}), TWO),
    "two by two, dicts": (lambda: two_by_two("dict", metrics={"sort": ["accuracy"]}), TWO),
    "two by two, masked inside": (lambda: two_by_two(mask=True, loss_weights={"number": 0.3, "sort": 2.0}), TWO),
    "two by two, one weight for all": (
        lambda: two_by_two(weighted_metrics=[["mae"], ["accuracy"]]),
        TWO | {"sample_weight": WEIGHT},
    ),
    "two by two, weights for each": (
        lambda: two_by_two("dict", weighted_metrics={"sort": ["accuracy"]}),
        TWO | {"sample_weight/number": WEIGHT, "sample_weight/sort": WEIGHT[::-1]},
    ),
    "two by two, other reductions": (
        lambda: two_by_two(
            loss=[mse("mean_with_sample_weight"), sparse(reduction="sum")], optimizer=keras.optimizers.SGD(0.01)
        ),
        TWO | {"sample_weight": WEIGHT},
    ),
    "two divisors": (lambda: tagger_and_reader(), {"x": PADDED, "y/tags": TAGS, "y/positive": YES}),
    "partly trained": (
        lambda: partly_trained(loss=["mse", None], optimizer=adam(weight_decay=0.1)),
        {"x": FEATURES, "y/number": NUMBER},
    ),
    "clipnorm": (lambda: dense(optimizer=sgd(clipnorm=0.1)), XY),
    "global_clipnorm": (lambda: dense(optimizer=sgd(global_clipnorm=0.1)), XY),
    "clipvalue": (lambda: dense(optimizer=sgd(clipvalue=0.02)), XY),
    "weight decay": (lambda: dense(optimizer=keras.optimizers.AdamW(0.02, weight_decay=0.1)), XY),
    "moving average": (lambda: dense(optimizer=adam(use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=3)), XY),
    "moving average at the end": (lambda: dense(optimizer=adam(use_ema=True, ema_momentum=0.5)), XY),
    "accumulated gradients": (lambda: dense(optimizer=sgd(gradient_accumulation_steps=3)), XY),
    "scaled loss": (lambda: dense(optimizer=sgd(loss_scale_factor=8.0, clipvalue=0.02)), XY),
    "nadam": (lambda: dense(optimizer=keras.optimizers.Nadam(0.02)), XY),
    "lamb": (lambda: dense(optimizer=keras.optimizers.Lamb(0.02)), XY),
}


SQUARED = ("sparse gradient, adam", "sparse gradient, clipped")
"""Keras on TensorFlow squares a sparse gradient before it adds up a row's repetitions; here, as in Keras on JAX or
PyTorch, a row has one gradient. So plain Keras gets it dense."""


def make_dense(optimizer: keras.optimizers.Optimizer) -> None:
    """Let an optimizer add up the rows of sparse gradients first."""
    apply = optimizer.apply
    optimizer.apply = lambda gradients, variables: apply([tf.convert_to_tensor(one) for one in gradients], variables)


def for_keras(arrays: Arrays, kind: str, like: keras.Model) -> Any:
    """What plain Keras is given: an array, a dict of arrays, or a list of them."""
    if kind in arrays:
        return arrays[kind]
    found = {name.split("/")[1]: array for name, array in arrays.items() if name.startswith(f"{kind}/")}
    if not found:
        return None
    if kind == "x" or isinstance(like._outputs_struct, dict):
        return found
    return [found.get(name, np.zeros((SAMPLES, 2))) for name in like.output_names]


def flat(model: keras.Model) -> np.ndarray:
    return np.concatenate([weight.ravel() for weight in model.get_weights()])


@pytest.mark.parametrize("name", CASES)
def test_weights_history_and_evaluation_are_those_of_keras(name: str) -> None:
    # given
    build, arrays = CASES[name]

    def seeded() -> keras.Model:
        keras_models.use("float64")
        keras.utils.set_random_seed(1)
        return build()

    plain, rows = seeded(), Rows(arrays)
    before = flat(plain)
    if name in SQUARED:
        make_dense(plain.optimizer)
    data = tuple(for_keras(arrays, kind, plain) for kind in ("x", "y", "sample_weight"))
    history = plain.fit(
        *data[:2],
        sample_weight=data[2],
        validation_data=data,
        batch_size=WORKERS * BATCH,
        epochs=EPOCHS,
        shuffle=False,
        verbose=0,
    ).history

    # when
    trainer = Trainer(seeded(), "float64", rows.take(slice(1)))
    batches = Batches(SAMPLES, BATCH, WORKERS, seed=5, shuffle=False)
    ours = train_in_process(trainer, rows, batches, range(EPOCHS * batches.steps_per_epoch))
    scores = evaluate_in_process(trainer, rows, batches)
    trainer.model.optimizer.finalize_variable_values(trainer.trainable)

    # then
    assert np.abs(flat(plain) - before).max() > 1e-2, "training has moved the weights"
    assert np.abs(flat(trainer.model) - flat(plain)).max() <= 1e-12
    ours[-1] |= {f"val_{name}": value for name, value in scores.items()}
    for epoch, entry in enumerate(ours):
        assert entry == pytest.approx({name: history[name][epoch] for name in entry}, rel=1e-6)
    assert set(ours[-1]) == set(history)
