"""A rank's share of the loss that Keras would report for the global batch.

Keras divides each loss by the samples of the batch, by its unmasked elements, or by the sum of its weights. A rank
multiplies its own loss by its part of the global batch's divisor, so that the sum over all ranks, of losses and of
gradients alike, is Keras' value; what is reduced by ``sum`` is not divided. Every rank knows all divisors beforehand:
they depend on the data alone.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.backend import get_keras_mask
from keras.src.losses.loss import apply_mask, squeeze_or_expand_to_same_rank
from keras.src.losses.losses import LossFunctionWrapper
from numpy.typing import NDArray

from paytrain.errors import JobError
from paytrain.training.layout import Layout, Structure

MEANS = ("sum_over_batch_size", "mean", "mean_with_sample_weight")


class Losses:
    """The losses that a model was compiled with. The model must have been called and its losses built.

    Attributes
    ----------
    names
        Of the single losses, as Keras reports them; empty when there is only one.
    is_sum
        Which of them are not divided, shape (losses,).
    """

    def __init__(self, model: keras.Model, layout: Layout) -> None:
        self._model = model
        self._layout = layout
        self._compiled = model._compile_loss
        self._flat = list(self._compiled._flat_losses)
        self.names = [f"{one.name}_loss" for one in self._flat] if len(self._flat) > 1 else []
        self.is_sum = np.array([one.loss.reduction == "sum" for one in self._flat])

    def refuse_unsupported(self, y: Structure, y_pred: Structure, weight: Structure) -> None:
        """Refuse by name losses that are no sums or means of losses of samples, and labels of another shape.

        Raises
        ------
        JobError
            Naming the loss and what is supported.
        """
        if len({one.path for one in self._flat}) < len(self._flat):
            raise JobError("The model has several losses for one output: compile it with one loss for each output.")
        for one in self._flat:
            own = _resolve(one.path, weight) if keras.tree.is_nested(weight) else weight
            _refuse(one.loss, _resolve(one.path, y), _resolve(one.path, y_pred), own)

    def total(
        self, y: Structure, y_pred: Structure, weight: Structure, mean_share: tf.Tensor, shares: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """This rank's share of the loss, and of each loss when there are several.

        Parameters
        ----------
        mean_share
            This rank's part of the global batch's samples, for regularisation.
        shares
            This rank's part of each loss' divisor, shape (losses,).
        """
        values: list[tf.Tensor] = []

        def shared(loss: keras.losses.Loss, share: tf.Tensor) -> Any:
            def call(y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor | None) -> tf.Tensor:
                value = loss(y_true, y_pred, sample_weight)
                values.append(value * tf.cast(share, value.dtype))
                return values[-1]

            return call

        self._compiled._flat_losses = [
            one._replace(loss=shared(one.loss, shares[index])) for index, one in enumerate(self._flat)
        ]
        try:
            total = self._compiled(y, y_pred, weight)
        finally:
            self._compiled._flat_losses = self._flat
        for extra in self._model.losses:
            # Keras divides activities' regularisation by the samples; that of weights is the same on all ranks.
            extra = self._model._aggregate_additional_loss(extra)
            total += tf.cast(extra, total.dtype) * tf.cast(mean_share, total.dtype)
        return total, values if self.names else []

    def divisors(self, y: Structure, y_pred: Structure, weight: Structure) -> tf.Tensor | None:
        """What each sample adds to each loss' divisor, shape (samples, losses); None if it is 1 for all."""
        columns = [self._divisor(one, y, y_pred, weight) for one in self._flat]
        if all(column is None for column in columns):
            return None
        ones = tf.ones(tf.shape(keras.tree.flatten(y_pred)[0])[:1], tf.float64)
        return tf.stack([ones if column is None else column for column in columns], 1)

    def _divisor(self, one: Any, y: Structure, y_pred: Structure, weight: Structure) -> tf.Tensor | None:
        loss = one.loss
        labels, predicted = _resolve(one.path, y), _resolve(one.path, y_pred)
        mask = _mask(loss, labels, predicted)
        if mask is not None and loss.reduction in MEANS[:2]:
            return _per_sample(mask)
        if loss.reduction != "mean_with_sample_weight":
            return None
        own = _resolve(one.path, weight) if keras.tree.is_nested(weight) else weight
        own = tf.cast(own, loss.dtype) if own is not None else None
        weights = apply_mask(own, mask, dtype=loss.dtype, reduction=loss.reduction)
        return None if weights is None else _per_sample(weights)


def _refuse(loss: keras.losses.Loss, labels: tf.Tensor, predicted: tf.Tensor, weight: tf.Tensor | None) -> None:
    """Refuse what would not train as Keras does, from one row of labels and outputs."""
    name = type(loss).__name__ if type(loss) is not LossFunctionWrapper else loss.name
    if loss.reduction not in (*MEANS, "sum"):
        raise JobError(f'The loss {name} reduces by "{loss.reduction}": it must be one of {", ".join(MEANS)}, sum.')
    elements = loss.call(tf.cast(labels, loss.dtype), tf.cast(predicted, loss.dtype))
    if elements.shape.rank == 0 or getattr(loss, "fn", None) is keras.losses.circle:
        raise JobError(f"The loss {name} is not supported as compiled: it is no mean over samples.")
    if getattr(loss, "fn", None) not in (keras.losses.sparse_categorical_crossentropy, keras.losses.ctc):
        same_rank = squeeze_or_expand_to_same_rank(labels, predicted)
        if same_rank[0].shape[1:] != same_rank[1].shape[1:]:
            raise JobError(
                f"The labels do not fit the loss {name}: they have shape {tuple(labels.shape[1:])} per sample, the "
                f"model's output {tuple(predicted.shape[1:])}."
            )
    if weight is not None and 1 == weight.shape.rank < elements.shape.rank and elements.shape[-1] != 1:
        raise JobError(
            f"sample_weight has one number per sample, but the loss {name} has {tuple(elements.shape[1:])} per sample: "
            "Keras needs a weight for each, or an axis of length 1 more."
        )


def _mask(loss: keras.losses.Loss, labels: tf.Tensor, predicted: tf.Tensor) -> tf.Tensor | None:
    """The mask with which a loss is reduced: the output's, and the loss' own such as ``ignore_class``."""
    elements = loss.call(tf.cast(labels, loss.dtype), tf.cast(predicted, loss.dtype))
    masks = [mask for mask in (get_keras_mask(predicted), get_keras_mask(elements)) if mask is not None]
    return tf.logical_and(*masks) if len(masks) == 2 else masks[0] if masks else None


def _per_sample(weights: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(weights, tf.float64), list(range(1, weights.shape.rank)))


def _resolve(path: tuple[Any, ...], structure: Structure) -> Any:
    for key in path:
        structure = structure[key]
    return structure


def refuse_trained_masks(function: Any) -> None:
    """Refuse masks that depend on weights: their counts change from step to step.

    Parameters
    ----------
    function
        A traced ``tf.function`` that returns the divisors.
    """
    seen: set[int] = set()
    waiting = [output.op for output in function.outputs]
    while waiting:
        operation = waiting.pop()
        if id(operation) in seen:
            continue
        seen.add(id(operation))
        if any(tensor.dtype == tf.resource for tensor in operation.inputs):
            raise JobError("The model masks its output by a trained value: masks must depend on its inputs alone.")
        waiting += [tensor.op for tensor in operation.inputs]


def shares(
    rows: NDArray[np.int64], global_rows: NDArray[np.int64], divisors: NDArray[np.float64] | None, is_sum: NDArray[Any]
) -> NDArray[np.float64]:
    """A rank's part of a global batch's samples, then of each loss' divisor; shape (1 + losses,).

    Parameters
    ----------
    rows, global_rows
        Row numbers of the rank's part and of the whole batch.
    divisors
        What each row of the data adds to each loss' divisor, shape (samples, losses); None if that is 1.
    is_sum
        Which losses are not divided, shape (losses,).
    """
    result = np.full(1 + is_sum.size, len(rows) / len(global_rows))
    if divisors is not None:
        whole = divisors[global_rows].sum(0)
        result[1:] = np.divide(divisors[rows].sum(0), whole, out=np.zeros_like(whole), where=whole != 0)
    result[1:][is_sum] = 1.0
    return result
