"""A Keras model as a pair of functions: gradient of a batch as one flat vector, and a step with the summed vector.

The mean is Keras' mean. A rank contributes the gradient of its samples' *summed* loss, the sum over all ranks
is divided by the global sample count; losses reduced by ``sum`` are not divided. Regularisation counts once.
"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from paytrain.errors import JobError
from paytrain.training.model import (
    loss_reduction,
    metrics_of,
    own_variables,
    refuse_unsupported,
    seed_generators,
)


@dataclass(frozen=True)
class Contribution:
    """What a rank adds to a round.

    Attributes
    ----------
    gradient
        Gradient of the summed loss, shape (parameters,), in the wire's dtype.
    sums
        Summed loss, then the metrics' state increments; float64, shape (metric elements,).
    """

    gradient: NDArray[Any]
    sums: NDArray[np.float64]


class Trainer:
    """Trains a model step by step from flat vectors.

    Parameters
    ----------
    model
        A compiled, built model.
    wire
        dtype of the flat vectors.
    sample_x, sample_y
        One row of the data, for the shapes.

    Raises
    ------
    JobError
        When the model or its labels cannot be trained this way.
    """

    def __init__(self, model: keras.Model, wire: str, sample_x: NDArray[Any], sample_y: NDArray[Any]) -> None:
        self.model = model
        self._wire = tf.as_dtype(wire)
        _build(model, sample_x, sample_y)
        refuse_unsupported(model, wire)
        self.is_sum = loss_reduction(model) == "sum"
        self.trainable = list(model.trainable_variables)
        self.own = own_variables(model)
        self._metrics = [variable for metric in metrics_of(model) for variable in metric.variables]
        self.seed_states = [generator.state for generator in seed_generators(model)]
        self._sizes = [int(np.prod(variable.shape)) for variable in self.trainable]
        self.parameters = sum(self._sizes)
        self.metric_elements = 1 + sum(int(np.prod(variable.shape)) for variable in self._metrics)
        self._warm_batches: set[int] = set()
        self._warm_evaluations: set[int] = set()
        self._gradient = tf.function(self._gradient_of_batch, autograph=False)
        self._apply = tf.function(self._apply_gradient, autograph=False)
        self._evaluate = tf.function(self._evaluate_batch, autograph=False)

    def warm_up(self, x: NDArray[Any], y: NDArray[Any], batch_sizes: set[int], evaluation_sizes: set[int]) -> None:
        """Trace and run all functions once for the given numbers of rows, so that no step does.

        Leaves variables in an undefined state: set them afterwards.
        """
        seeds = np.zeros((len(self.seed_states), 2), np.uint32)
        for size in batch_sizes - self._warm_batches - {0}:
            total = self.gradient(x[:size], y[:size], seeds, size).gradient
            self.apply(total, size)
        for size in evaluation_sizes - self._warm_evaluations - {0}:
            self.evaluate(x[:size], y[:size])
        self._warm_batches |= batch_sizes
        self._warm_evaluations |= evaluation_sizes

    def gradient(
        self, x: NDArray[Any], y: NDArray[Any], seeds: NDArray[np.uint32], global_samples: int
    ) -> Contribution:
        """Gradient and metrics of a rank's part of a batch; zeros when it has no sample.

        Parameters
        ----------
        x, y
            Rows of the data.
        seeds
            States of the seed generators, shape (generators, 2).
        global_samples
            Rows of the global batch; regularisation of a ``sum`` loss is shared out by it.
        """
        if len(x) == 0:
            return Contribution(np.zeros(self.parameters, self._wire.as_numpy_dtype), np.zeros(self.metric_elements))
        share = np.float64(len(x) / global_samples)
        flat, sums = self._gradient(tf.constant(x), tf.constant(y), tf.constant(seeds), tf.constant(share))
        return Contribution(flat.numpy(), sums.numpy())

    def apply(self, total: NDArray[Any], samples: int) -> None:
        """One optimizer step with the gradient summed over ``samples`` rows."""
        divisor = 1.0 if self.is_sum else float(samples)
        self._apply(tf.constant(total), tf.constant(divisor, self._wire))

    def evaluate(self, x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
        """Loss times rows, and metric increments, of some rows, without training; shape (metric elements,)."""
        sums = np.array(self._evaluate(tf.constant(x), tf.constant(y)))
        sums[0] = self.loss_of(sums[0], len(x)) * len(x)
        return sums

    def loss_of(self, loss_sum: float, samples: int) -> float:
        """The loss that Keras would report for a global batch."""
        return loss_sum if self.is_sum else loss_sum / samples

    def results(self, sums: NDArray[np.float64]) -> dict[str, float]:
        """The metrics' values for summed states (without the loss), by Keras' names."""
        _assign_flat(self._metrics, sums)
        results = self.model.get_metrics_result()
        return {name: float(value) for name, value in results.items() if name != "loss"}

    def own_state(self) -> NDArray[np.float64]:
        """This rank's own floating variables as one vector, shape (own elements,)."""
        parts = [np.asarray(v.numpy(), np.float64).ravel() for v in self.own if _is_float(v)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def set_own_state(self, values: NDArray[np.float64]) -> None:
        """Set this rank's own floating variables from one vector."""
        _assign_flat([v for v in self.own if _is_float(v)], values)

    def _gradient_of_batch(
        self, x: tf.Tensor, y: tf.Tensor, seeds: tf.Tensor, share: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        for index, state in enumerate(self.seed_states):
            state.assign(tf.cast(seeds[index], state.dtype))
        for variable in self._metrics:
            variable.assign(tf.zeros(variable.shape, variable.dtype))
        with tf.GradientTape() as tape:
            y_pred = self.model(x, training=True)
            loss = self.model.compute_loss(x=x, y=y, y_pred=y_pred, training=True)
            scaled = self._as_sum(loss, x, share)
        gradients = tape.gradient(scaled, [variable.value for variable in self.trainable])
        flat = [
            tf.zeros([size], self._wire)
            if gradient is None
            else tf.reshape(tf.cast(tf.convert_to_tensor(gradient), self._wire), [-1])
            for gradient, size in zip(gradients, self._sizes, strict=True)
        ]
        self.model.compute_metrics(x, y, y_pred)
        return tf.concat(flat, 0), self._sums(scaled)

    def _evaluate_batch(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        for variable in self._metrics:
            variable.assign(tf.zeros(variable.shape, variable.dtype))
        y_pred = self.model(x, training=False)
        loss = self.model.compute_loss(x=x, y=y, y_pred=y_pred, training=False)
        self.model.compute_metrics(x, y, y_pred)
        return self._sums(self._as_sum(loss, x, tf.constant(1.0, tf.float64)))

    def _as_sum(self, loss: tf.Tensor, x: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
        """The batch's part of the global sum: a mean times its samples; a sum with its share of regularisation."""
        if not self.is_sum:
            return loss * tf.cast(tf.shape(x)[0], loss.dtype)
        if not self.model.losses:
            return loss
        regularisation = tf.add_n([tf.cast(tf.reduce_sum(extra), loss.dtype) for extra in self.model.losses])
        return loss - (1 - tf.cast(share, loss.dtype)) * regularisation

    def _sums(self, loss_sum: tf.Tensor) -> tf.Tensor:
        states = [tf.reshape(tf.cast(variable.value, tf.float64), [-1]) for variable in self._metrics]
        return tf.concat([tf.reshape(tf.cast(loss_sum, tf.float64), [1]), *states], 0)

    def _apply_gradient(self, total: tf.Tensor, divisor: tf.Tensor) -> None:
        parts = tf.split(total / divisor, self._sizes)
        gradients = [tf.cast(tf.reshape(part, v.shape), v.dtype) for part, v in zip(parts, self.trainable, strict=True)]
        self.model.optimizer.apply(gradients, self.trainable)


def configure_tensorflow(threads: int) -> None:
    """Make TensorFlow deterministic with a fixed number of threads; before its first operation.

    Parameters
    ----------
    threads
        Threads within an operation; the number changes the bits, so it follows from the memory size.
    """
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()


def _build(model: keras.Model, x: NDArray[Any], y: NDArray[Any]) -> None:
    """Build optimizer, losses and metrics by one evaluation of one row, which also shows labels that do not fit."""
    try:
        y_pred = model(tf.constant(x), training=False)
        model.compute_loss(x=x, y=tf.constant(y), y_pred=y_pred, training=False)
        model.compute_metrics(tf.constant(x), tf.constant(y), y_pred)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise JobError(
            f"The data do not fit the model: x has shape {x.shape[1:]}, y {y.shape[1:]} per sample ({reason})."
        ) from error
    if keras.src.backend.get_keras_mask(y_pred) is not None:
        raise JobError("The model masks its output (mask_zero or Masking): masked losses are not supported.")
    model.optimizer.build(model.trainable_variables)


def _assign_flat(variables: list[keras.Variable], values: NDArray[np.float64]) -> None:
    start = 0
    for variable in variables:
        size = int(np.prod(variable.shape))
        variable.assign(values[start : start + size].reshape(variable.shape))
        start += size


def _is_float(variable: keras.Variable) -> bool:
    return bool(np.issubdtype(np.dtype(variable.dtype), np.floating))
