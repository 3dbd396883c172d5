"""Loads a compiled Keras model and says by name what cannot be trained this way."""

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from paytrain.errors import JobError

_ADDITIVE_METRICS = (
    keras.metrics.Mean,
    keras.metrics.Sum,
    keras.metrics.AUC,
    keras.metrics.Precision,
    keras.metrics.Recall,
    keras.metrics.TruePositives,
    keras.metrics.TrueNegatives,
    keras.metrics.FalsePositives,
    keras.metrics.FalseNegatives,
    keras.metrics.SensitivityAtSpecificity,
    keras.metrics.SpecificityAtSensitivity,
    keras.metrics.PrecisionAtRecall,
    keras.metrics.RecallAtPrecision,
    keras.metrics.IoU,
    keras.metrics.MeanIoU,
    keras.metrics.FBetaScore,
    keras.metrics.R2Score,
)
"""Metrics whose state after two batches is the sum of their states after each."""

_FLOATS = ("float32", "float64")


def load_model(data: bytes, uri: str) -> keras.Model:
    """Load a ``.keras`` file in safe mode.

    Raises
    ------
    JobError
        When it is no Keras model, has code in it, or is not compiled and built.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(data)
        try:
            with warnings.catch_warnings():
                # A model that was saved before its first step has no optimizer state to load.
                warnings.filterwarnings("ignore", message="Skipping variable loading for optimizer")
                model = keras.models.load_model(path, safe_mode=True)
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise JobError(
                f'model = "{uri}" is not allowed: it cannot be loaded by Keras {keras.__version__} ({reason}).'
            ) from error
    if not model.compiled or model.optimizer is None:
        raise JobError(
            f'model = "{uri}" is not allowed: it must be compiled (optimizer, loss, metrics) before it is saved.'
        )
    if not model.built:
        raise JobError(f'model = "{uri}" is not allowed: it must be built; give its first layer an Input shape.')
    return model


def replace_learning_rate(model: keras.Model, learning_rate: float | dict[str, Any] | None) -> None:
    """Replace the optimizer's learning rate by a number or a serialized schedule."""
    if learning_rate is None:
        return
    if isinstance(learning_rate, dict):
        try:
            model.optimizer.learning_rate = keras.optimizers.schedules.deserialize(learning_rate)
        except Exception as error:
            raise JobError(
                f"learning_rate = {learning_rate} is not allowed: it must be a serialized Keras schedule."
            ) from error
    else:
        model.optimizer.learning_rate = learning_rate


def own_variables(model: keras.Model) -> list[keras.Variable]:
    """Variables that every rank has for itself, such as BatchNorm's moving statistics; seeds are not among them."""
    seeds = {id(generator.state) for generator in seed_generators(model)}
    return [variable for variable in model.non_trainable_variables if id(variable) not in seeds]


def seed_generators(model: keras.Model) -> list[keras.random.SeedGenerator]:
    """The model's seed generators, in the order of its layers."""
    found = {id(g): g for layer in _layers(model) for g in getattr(layer, "_seed_generators", ())}
    return list(found.values())


def loss_reduction(model: keras.Model) -> str:
    """``sum_over_batch_size`` or ``sum``, as the losses are compiled. The model must have been called."""
    flat = model._compile_loss._flat_losses
    reductions = {loss.loss.reduction for loss in flat}
    if len(reductions) != 1:
        raise JobError(
            f"The model's losses reduce by {' and '.join(sorted(reductions))}: all must use the same reduction."
        )
    reduction = reductions.pop()
    if reduction == "mean":
        return "sum_over_batch_size"
    if reduction not in ("sum_over_batch_size", "sum"):
        raise JobError(f'The loss reduction "{reduction}" is not supported: it must be "sum_over_batch_size" or "sum".')
    return str(reduction)


def refuse_unsupported(model: keras.Model, wire: str) -> None:
    """Refuse by name what would not train as Keras does.

    Raises
    ------
    JobError
        Naming the part of the model and what is supported.
    """
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        shape = f"{len(model.inputs)} inputs and {len(model.outputs)} outputs"
        raise JobError(f"The model has {shape}: models with one input and one output are supported.")
    if not model.trainable_variables:
        raise JobError("The model has nothing to train: all its layers are frozen.")
    for loss in model._compile_loss._flat_losses:
        _refuse_loss(loss.loss)
    for variable in model.trainable_variables:
        if variable.dtype not in _FLOATS:
            raise JobError(
                f"The variable {variable.path} is {variable.dtype}: trainable variables must be float32 or float64."
            )
        if np.dtype(variable.dtype).itemsize > np.dtype(wire).itemsize:
            raise JobError(
                f'wire = "{wire}" is not allowed: {variable.path} is {variable.dtype}, so it must be "float64".'
            )
    if isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer):
        raise JobError("The optimizer LossScaleOptimizer is not supported: compile the model without mixed precision.")
    for metric in metrics_of(model):
        if not isinstance(metric, _ADDITIVE_METRICS):
            raise JobError(f"The metric {metric.name} ({type(metric).__name__}) is not supported: its state is no sum.")


def _refuse_loss(loss: keras.losses.Loss) -> None:
    """Refuse losses of a batch that are not sums or means of losses of its samples."""
    of_the_batch = isinstance(loss, (keras.losses.Dice, keras.losses.Tversky)) and loss.axis is None
    if of_the_batch or isinstance(loss, keras.losses.Circle) or getattr(loss, "ignore_class", None) is not None:
        raise JobError(f"The loss {type(loss).__name__} is not supported as compiled: it is no mean over samples.")


def metrics_of(model: keras.Model) -> list[keras.metrics.Metric]:
    """The model's metrics except the loss, compiled ones one by one. The model must have been called."""
    metrics = [metric for metric in model.metrics if metric is not model._loss_tracker]
    return [single for metric in metrics for single in getattr(metric, "metrics", [metric])]


def _layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    yield from model._flatten_layers(include_self=True, recursive=True)
