"""Loads a compiled Keras model and says by name what cannot be trained this way."""

import json
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from typing import IO, Any

import keras
import numpy as np

from paytrain.errors import JobError, on_one_line
from paytrain.exchange.wires import WIRES
from paytrain.training.weights_file import fewer_copies

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
_L1, _L2 = keras.regularizers.L1, keras.regularizers.L2
_OF_THE_BATCH = (keras.losses.dice, keras.losses.tversky, keras.losses.circle)
"""Functions of a whole batch, not of its samples."""


def load_model(file: IO[bytes], uri: str) -> keras.Model:
    """Load a ``.keras`` file in safe mode, by way of /tmp: Keras would hold all weights of an archive in memory.

    Parameters
    ----------
    file
        That can seek.
    uri
        Where it came from, for the sentences.

    Raises
    ------
    JobError
        When it is no Keras model, has code in it, or is not compiled and built.
    """
    if not zipfile.is_zipfile(file):
        raise JobError(f'model = "{uri}" is not allowed: it is no .keras file, or a part of it is missing.')
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            with zipfile.ZipFile(file) as archive:
                archive.extractall(folder)
            # A model that was saved before its first step has no optimizer state to load.
            warnings.filterwarnings("ignore", message="Skipping variable loading for optimizer")
            with fewer_copies():
                model = keras.models.load_model(folder, safe_mode=True)
    except Exception as error:
        if "`Lambda` layer" in str(error):
            raise JobError(
                f'model = "{uri}" is not allowed: it has a Lambda layer, whose code is not run; '
                "use Keras' own layers or operations instead."
            ) from error
        reason = on_one_line(error)
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
                f"learning_rate = {json.dumps(learning_rate)} is not allowed: it must be a number or a serialized "
                "Keras schedule."
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


def refuse_model(model: keras.Model, wire: str) -> None:
    """Refuse by name a model that cannot be trained this way, before it meets any data.

    Raises
    ------
    JobError
        Naming the part of the model and what is supported.
    """
    if not model.trainable_variables:
        raise JobError("The model has nothing to train: all its layers are frozen.")
    if model._compile_loss is None:
        raise JobError("The model is compiled without a loss: compile it with one.")
    for variable in model.trainable_variables:
        if variable.dtype not in _FLOATS:
            raise JobError(
                f"The variable {variable.path} is {variable.dtype}: trainable variables must be float32 or float64."
            )
        if np.dtype(variable.dtype).itemsize > WIRES[wire].dtype.itemsize:
            raise JobError(
                f'wire = "{wire}" is not allowed: {variable.path} is {variable.dtype}, so it must be "float64".'
            )
    if isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer):
        raise JobError(
            "The optimizer LossScaleOptimizer is not supported: use mixed_bfloat16, or compile the model with "
            "auto_scale_loss=False."
        )
    for layer in _layers(model):
        if getattr(layer, "stateful", False):
            raise JobError(
                f"The layer {layer.name} is stateful: that is not supported, batches are shuffled and shared."
            )
        regularizer = getattr(layer, "activity_regularizer", None)
        if regularizer is not None and not isinstance(regularizer, keras.regularizers.L1L2 | _L1 | _L2):
            raise JobError(
                f"The activity regularizer of {layer.name} ({type(regularizer).__name__}) is not supported: "
                "it is no sum over samples."
            )


def refuse_metrics(model: keras.Model) -> None:
    """Refuse by name metrics that are no sums over samples. The model must have been called and its metrics built.

    Raises
    ------
    JobError
        Naming the metric.
    """
    for metric in metrics_of(model):
        function = getattr(metric, "_fn", None)
        of_the_batch = isinstance(function, keras.losses.Loss) or function in _OF_THE_BATCH
        if of_the_batch or not isinstance(metric, _ADDITIVE_METRICS):
            raise JobError(f"The metric {metric.name} ({type(metric).__name__}) is not supported: its state is no sum.")
        if np.ndim(metric.result()):
            raise JobError(
                f"The metric {metric.name} ({type(metric).__name__}) is not supported: its result is no number."
            )


def metrics_of(model: keras.Model) -> list[keras.metrics.Metric]:
    """The model's metrics except the losses, compiled ones one by one. The model must have been called."""
    losses = {id(model._loss_tracker), *map(id, model._compile_loss.metrics)}
    metrics = [metric for metric in model.metrics if id(metric) not in losses]
    return [single for metric in metrics for single in getattr(metric, "metrics", [metric])]


def _layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    yield from model._flatten_layers(include_self=True, recursive=True)
