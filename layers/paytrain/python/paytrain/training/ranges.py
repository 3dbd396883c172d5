"""Which values the model's losses and embeddings can take, and a look at all rows for others."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from paytrain.errors import JobError
from paytrain.plan import Source
from paytrain.training.data import Rows
from paytrain.training.layout import Layout

_PROBABILITIES = (
    keras.losses.binary_crossentropy,
    keras.losses.binary_focal_crossentropy,
    keras.losses.categorical_crossentropy,
    keras.losses.categorical_focal_crossentropy,
)
_LOOKED_AT_ROWS = 4096


@dataclass(frozen=True)
class Range:
    """What an array may hold.

    Attributes
    ----------
    array
        Its name in the data.
    highest
        Largest value; the smallest is 0.
    besides
        A value outside that is allowed, too, such as an ignored class.
    is_whole
        Whether only whole numbers make sense.
    why
        Who wants it so.
    """

    array: str
    highest: int
    is_whole: bool
    why: str
    besides: int | None = None

    def first_outside(self, values: NDArray[Any]) -> int | None:
        """The first row with another value, or None; values of shape (rows, …)."""
        fits = (values >= 0) & (values <= self.highest)
        if self.is_whole and values.dtype.kind == "f":
            fits &= values == np.floor(values)
        if self.besides is not None:
            fits |= values == self.besides
        rows = fits.reshape(len(values), -1).all(1)
        return None if rows.all() else int(rows.argmin())


def ranges(model: keras.Model, layout: Layout) -> Iterator[Range]:
    """The ranges of a model's labels, and of inputs that are looked up. The model must have been called."""
    for one in model._compile_loss._flat_losses:
        output = layout.at(one.path)
        function = getattr(one.loss, "fn", None)
        if function is keras.losses.sparse_categorical_crossentropy:
            settings = one.loss._fn_kwargs
            classes = model.outputs[output].shape[settings.get("axis", -1)]
            why = f"the loss {one.loss.name} with {classes} classes"
            yield Range(layout.outputs[output], classes - 1, True, why, settings.get("ignore_class"))
        elif function in _PROBABILITIES:
            yield Range(layout.outputs[output], 1, False, f"the loss {one.loss.name}")
    functional = model._functional if isinstance(model, keras.Sequential) else model
    for name, tensor in zip(layout.inputs, functional.inputs, strict=True):
        for node in tensor._keras_history.operation._outbound_nodes:
            if isinstance(node.operation, keras.layers.Embedding):
                layer = node.operation
                yield Range(name, layer.input_dim - 1, True, f"the layer {layer.name} with input_dim {layer.input_dim}")


def refuse_outside(allowed: Sequence[Range], sources: Sequence[Source], rows: Rows) -> None:
    """Refuse values that a loss or an embedding cannot take.

    Raises
    ------
    JobError
        Naming the object, the array, the first such row, and what is allowed.
    """
    for one in allowed:
        array = rows.arrays.get(one.array, np.zeros(0))
        for start in range(0, len(array), _LOOKED_AT_ROWS):
            outside = one.first_outside(array[start : start + _LOOKED_AT_ROWS])
            if outside is not None:
                raise JobError(_sentence(one, sources, array, start + outside))


def _sentence(one: Range, sources: Sequence[Source], array: NDArray[Any], row: int) -> str:
    in_row = array[row].reshape(-1)
    value = next(value for value in in_row if one.first_outside(value.reshape(1)) is not None)
    for source in sources:
        if row < source.rows:
            break
        row -= source.rows
    numbers = "whole numbers" if one.is_whole else "numbers"
    besides = "" if one.besides is None else f", and {one.besides}"
    return (
        f'data = "{source.uri}" is not allowed: {one.array} is {value} in row {row}; '
        f"{one.why} takes {numbers} from 0 to {one.highest}{besides}."
    )
