"""A Keras model as a pair of functions: gradient of a batch as one flat vector, and a step with the summed vector.

The mean is Keras' mean: a rank contributes the gradient of its share of the global batch's loss (see
:mod:`paytrain.training.losses`), and the sum over all ranks is the gradient that Keras would apply.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from paytrain.errors import JobError, on_one_line
from paytrain.exchange.wires import WIRES
from paytrain.training.data import Rows
from paytrain.training.feed import Batch
from paytrain.training.fused import fuse_step, leave_out_replicas
from paytrain.training.layout import Layout
from paytrain.training.losses import Losses, refuse_trained_masks
from paytrain.training.model import (
    metrics_of,
    own_variables,
    refuse_metrics,
    refuse_model,
    seed_generators,
)

_DIVISOR_ROWS = 4096
"""Samples whose masks are looked at in one go."""


@dataclass(frozen=True)
class Contribution:
    """What a rank adds to a round.

    Attributes
    ----------
    gradient
        Gradient of this rank's share of the loss, shape (parameters,), in the wire's dtype.
    sums
        Shares of the loss and of each single one, then the metrics' state increments; float64, shape
        (metric elements,).
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
        How gradients travel; its dtype is that of the flat vectors.
    sample
        One row of the data, for names and shapes.

    Attributes
    ----------
    loss_elements
        Losses among the sums: the whole one, and each single one when there are several.

    Raises
    ------
    JobError
        When the model or its labels cannot be trained this way.
    """

    def __init__(self, model: keras.Model, wire: str, sample: Mapping[str, NDArray[Any]]) -> None:
        self.model = model
        self._wire = tf.as_dtype(WIRES[wire].dtype)
        refuse_model(model, wire)
        self.layout = Layout(model)
        self.layout.refuse_other(set(sample))
        self._connected, self._has_divisors = self._build(sample)
        refuse_metrics(model)
        self.trainable = list(model.trainable_variables)
        self.own = own_variables(model)
        self._metrics = [variable for metric in metrics_of(model) for variable in metric.variables]
        self.seed_states = [generator.state for generator in seed_generators(model)]
        self._sizes = [int(np.prod(variable.shape)) for variable in self.trainable]
        self.parameters = sum(self._sizes)
        ends = np.cumsum(self._sizes).tolist()
        self._slots = [
            (slice(end - size, end), tuple(variable.shape))
            for end, size, variable in zip(ends, self._sizes, self.trainable, strict=True)
        ]
        self.loss_elements = 1 + len(self.losses.names)
        self.metric_elements = self.loss_elements + sum(int(np.prod(variable.shape)) for variable in self._metrics)
        self._warm_batches: set[int] = set()
        self._warm_evaluations: set[int] = set()
        self._gradient = tf.function(self._gradient_of_batch, autograph=False)
        self._apply = tf.function(self._apply_gradients, autograph=False)
        self._evaluate = tf.function(self._evaluate_batch, autograph=False)

    def warm_up(self, rows: Rows, batch_sizes: set[int], evaluation_sizes: set[int]) -> None:
        """Trace and run all functions once for the given numbers of rows, so that no step does.

        Leaves variables in an undefined state: set them afterwards.
        """
        seeds = np.zeros((len(self.seed_states), 2), np.uint32)
        for size in batch_sizes - self._warm_batches - {0}:
            self.apply(self.gradients(self.gradient(self._first(rows, size), seeds).gradient))
        for size in evaluation_sizes - self._warm_evaluations - {0}:
            self.evaluate(self._first(rows, size))
        self._warm_batches |= batch_sizes
        self._warm_evaluations |= evaluation_sizes

    def gradient(self, batch: Batch, seeds: NDArray[np.uint32]) -> Contribution:
        """Gradient and metrics of a rank's part of a batch; zeros when it has no sample.

        Parameters
        ----------
        seeds
            States of the seed generators, shape (generators, 2).
        """
        if not batch.rows:
            return Contribution(np.zeros(self.parameters, self._wire.as_numpy_dtype), np.zeros(self.metric_elements))
        flat, sums = self._gradient(_tensors(batch), tf.constant(seeds), tf.constant(batch.shares))
        # Not numpy(), which copies.
        return Contribution(np.asarray(flat), sums.numpy())

    def gradients(self, total: NDArray[Any]) -> list[tf.Tensor]:
        """The gradient summed over all ranks as one of every trainable variable, in the wire's dtype.

        They may share the memory of ``total``, which must not change afterwards; whoever drops it before the step needs
        memory for one gradient less.
        """
        # Not constant(), which copies twice and keeps both.
        return [tf.raw_ops.Identity(input=total[part].reshape(shape)) for part, shape in self._slots]

    def apply(self, gradients: list[tf.Tensor]) -> None:
        """One optimizer step with the gradient of every trainable variable."""
        self._apply(gradients)

    def evaluate(self, batch: Batch) -> NDArray[np.float64]:
        """What a part of a batch adds to the sums of :meth:`results`, without training; shape (metric elements,)."""
        if not batch.rows:
            return np.zeros(self.metric_elements)
        sums = self._evaluate(_tensors(batch), tf.constant(batch.shares)).numpy()
        return self.weighted(sums, batch.global_rows)

    def weighted(self, sums: NDArray[np.float64], samples: int) -> NDArray[np.float64]:
        """A batch's sums as they are added up: Keras weighs a batch's losses by its samples."""
        weighted = sums.copy()
        weighted[: self.loss_elements] *= samples
        return weighted

    def results(self, sums: NDArray[np.float64], samples: int) -> dict[str, float]:
        """Losses and metrics of some batches, by Keras' names.

        Parameters
        ----------
        sums
            Weighted sums over these batches, shape (metric elements,).
        samples
            Their samples.
        """
        losses = sums[: self.loss_elements] / max(samples, 1)
        _assign_flat(self._metrics, sums[self.loss_elements :])
        metrics = {name: float(value) for name, value in self.model.get_metrics_result().items()}
        return metrics | dict(zip(["loss", *self.losses.names], losses.tolist(), strict=True))

    def divisors(self, rows: Rows) -> NDArray[np.float64] | None:
        """What each row adds to each loss' divisor, shape (samples, losses); None if that is 1.

        Raises
        ------
        JobError
            When they depend on what is trained.
        """
        if not self._has_divisors:
            return None
        function = tf.function(self._divisors_of_rows, autograph=False)
        parts = []
        for start in range(0, len(rows), _DIVISOR_ROWS):
            tensors = {
                name: tf.constant(array) for name, array in rows.take(slice(start, start + _DIVISOR_ROWS)).items()
            }
            refuse_trained_masks(function.get_concrete_function(tensors))
            parts.append(function(tensors).numpy())
        return np.concatenate(parts)

    def own_state(self) -> NDArray[np.float64]:
        """This rank's own floating variables as one vector, shape (own elements,)."""
        parts = [np.asarray(v.numpy(), np.float64).ravel() for v in self.own if _is_float(v)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def set_own_state(self, values: NDArray[np.float64]) -> None:
        """Set this rank's own floating variables from one vector."""
        _assign_flat([v for v in self.own if _is_float(v)], values)

    def release(self) -> None:
        """Let go of the values of all variables; the trainer is of no use afterwards.

        Something of TensorFlow's holds the last trainer's variables when nothing else does.
        """
        for variable in [*self.model.weights, *self.model.optimizer.variables]:
            empty = tf.zeros([0], variable.value.dtype)
            tf.raw_ops.AssignVariableOp(resource=variable.value.handle, value=empty, validate_shape=False)

    def _build(self, sample: Mapping[str, NDArray[Any]]) -> tuple[list[bool], bool]:
        """Build optimizer, losses and metrics by one row, which also shows data that do not fit.

        Returns
        -------
        tuple
            Which trainable variables the loss depends on, and whether samples count differently in some loss.
        """
        tensors = {name: tf.constant(array) for name, array in sample.items()}
        x, y, weight = self.layout.unpack(tensors)
        try:
            with tf.GradientTape() as tape:
                y_pred = self.model(x, training=False)
                loss = self.model.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=weight, training=False)
            gradients = tape.gradient(loss, [variable.value for variable in self.model.trainable_variables])
            self.model.compute_metrics(x, y, y_pred, sample_weight=weight)
            self.losses = Losses(self.model, self.layout)
            divisors = self.losses.divisors(y, y_pred, weight)
        except JobError:
            raise
        except Exception as error:
            shapes = ", ".join(f"{name} {array.dtype} {array.shape[1:]}" for name, array in sample.items())
            reason = on_one_line(error)
            raise JobError(f"The data do not fit the model: they have {shapes} per sample ({reason}).") from error
        self.losses.refuse_unsupported(y, y_pred, weight)
        self.model.optimizer.build(self.model.trainable_variables)
        fuse_step(self.model.optimizer)
        leave_out_replicas(self.model.optimizer)
        return [gradient is not None for gradient in gradients], divisors is not None

    def _first(self, rows: Rows, size: int) -> Batch:
        return Batch(rows.take(slice(size)), size, size, np.ones(1 + self.losses.is_sum.size))

    def _gradient_of_batch(
        self, arrays: dict[str, tf.Tensor], seeds: tf.Tensor, shares: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        for index, state in enumerate(self.seed_states):
            state.assign(tf.cast(seeds[index], state.dtype))
        x, y, weight = self.layout.unpack(arrays)
        with tf.GradientTape() as tape:
            y_pred = self.model(x, training=True)
            total, losses = self.losses.total(y, y_pred, weight, shares[0], shares[1:])
            scaled = self.model.optimizer.scale_loss(total)
        gradients = tape.gradient(scaled, [variable.value for variable in self.trainable])
        flat = [
            tf.zeros([size], self._wire)
            if gradient is None
            else tf.reshape(tf.cast(tf.convert_to_tensor(gradient), self._wire), [-1])
            for gradient, size in zip(gradients, self._sizes, strict=True)
        ]
        return tf.concat(flat, 0), self._sums([total, *losses], x, y, y_pred, weight)

    def _evaluate_batch(self, arrays: dict[str, tf.Tensor], shares: tf.Tensor) -> tf.Tensor:
        x, y, weight = self.layout.unpack(arrays)
        y_pred = self.model(x, training=False)
        total, losses = self.losses.total(y, y_pred, weight, shares[0], shares[1:])
        return self._sums([total, *losses], x, y, y_pred, weight)

    def _sums(self, losses: list[tf.Tensor], x: Any, y: Any, y_pred: Any, weight: Any) -> tf.Tensor:
        """Losses, then what the batch adds to the metrics' states."""
        for variable in self._metrics:
            variable.assign(tf.zeros(variable.shape, variable.dtype))
        self.model.compute_metrics(x, y, y_pred, sample_weight=weight)
        values = [*losses, *(variable.value for variable in self._metrics)]
        return tf.concat([tf.reshape(tf.cast(value, tf.float64), [-1]) for value in values], 0)

    def _divisors_of_rows(self, arrays: dict[str, tf.Tensor]) -> tf.Tensor:
        x, y, weight = self.layout.unpack(arrays)
        return self.losses.divisors(y, self.model(x, training=False), weight)

    def _apply_gradients(self, gradients: list[tf.Tensor]) -> None:
        # Keras leaves alone what the loss does not depend on: no weight decay there, no momentum.
        used = [
            tf.cast(gradient, variable.dtype) if used else None
            for gradient, variable, used in zip(gradients, self.trainable, self._connected, strict=True)
        ]
        self.model.optimizer.apply(used, self.trainable)


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


def _tensors(batch: Batch) -> dict[str, tf.Tensor]:
    return {name: tf.constant(array) for name, array in batch.arrays.items()}


def _assign_flat(variables: list[keras.Variable], values: NDArray[np.float64]) -> None:
    start = 0
    for variable in variables:
        size = int(np.prod(variable.shape))
        variable.assign(values[start : start + size].reshape(variable.shape))
        start += size


def _is_float(variable: keras.Variable) -> bool:
    return bool(np.issubdtype(np.dtype(variable.dtype), np.floating))
