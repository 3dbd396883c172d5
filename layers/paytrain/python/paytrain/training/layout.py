"""How the arrays of a data set are named, and how they become what a model's call and its losses take.

A model with one input takes ``x``, one with several takes ``x/<input>`` for each; ``y`` and ``y/<output>`` likewise.
``sample_weight`` weights all outputs, ``sample_weight/<output>`` one of them.
"""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from paytrain.errors import JobError

Structure = Any
"""A tensor, or a list, tuple or dict of tensors, as the model has it."""


class Layout:
    """The arrays that a model trains on.

    Parameters
    ----------
    model
        A compiled functional or sequential model.

    Raises
    ------
    JobError
        When its inputs or outputs cannot be told apart by name.
    """

    def __init__(self, model: keras.Model) -> None:
        functional = model._functional if isinstance(model, keras.Sequential) else model
        self._inputs = functional._inputs_struct
        self._outputs = functional._outputs_struct
        self.inputs = _names("x", self._inputs, [tensor.name for tensor in functional.inputs])
        self.outputs = _names("y", self._outputs, [tensor._keras_history.operation.name for tensor in model.outputs])
        self.weights = [name.replace("y", "sample_weight", 1) for name in self.outputs]
        self._labelled = _labelled(model, self._outputs, [name.removeprefix("y/") for name in self.outputs])

    def refuse_other(self, names: set[str]) -> None:
        """Refuse data that lack an array, or have one that the model has no use for.

        Raises
        ------
        JobError
            Naming the arrays.
        """
        needed = [*self.inputs, *(name for name, has in zip(self.outputs, self._labelled, strict=True) if has)]
        missing = [name for name in needed if name not in names]
        known = {*self.inputs, *self.outputs, "sample_weight", *self.weights}
        superfluous = sorted(names - known)
        if "sample_weight" in names and len(names & set(self.weights)) > ("sample_weight" in self.weights):
            superfluous.append("sample_weight, beside one for an output")
        if missing or superfluous:
            lacking = [f"lacks {', '.join(missing)}"] if missing else []
            having = [f"has {', '.join(superfluous)}"] if superfluous else []
            raise JobError(
                f"The data do not fit the model: it takes the arrays {', '.join(needed)} and, if wanted, "
                f"sample_weight; the data set {' and '.join(lacking + having)}."
            )

    def unpack(self, arrays: Mapping[str, tf.Tensor]) -> tuple[Structure, Structure, Structure]:
        """Inputs, labels and sample weights (None without any) in the structures of the model."""
        x = _packed(self._inputs, [arrays[name] for name in self.inputs])
        # Keras insists on labels for every output; of one without loss and metrics it never looks at them.
        nothing = tf.zeros(tf.shape(arrays[self.inputs[0]])[:1])
        y = _packed(self._outputs, [arrays.get(name, nothing) for name in self.outputs])
        if "sample_weight" in arrays:
            return x, y, arrays["sample_weight"]
        if not any(name in arrays for name in self.weights):
            return x, y, None
        return x, y, _packed(self._outputs, [arrays.get(name) for name in self.weights])

    def at(self, path: tuple[int | str, ...]) -> int:
        """Number of the output that Keras finds at a path."""
        if not path:
            return 0
        paths = [tuple(found) for found, _ in keras.tree.flatten_with_path(self._outputs)]
        return paths.index(path)


def _names(prefix: str, structure: Structure, tensor_names: list[str]) -> list[str]:
    """Names of a flat or single structure's arrays, in Keras' order."""
    if len(tensor_names) == 1:
        return [prefix]
    paths = [path for path, _ in keras.tree.flatten_with_path(structure)]
    names = [
        str(path[-1]) if isinstance(structure, dict) else name for path, name in zip(paths, tensor_names, strict=True)
    ]
    if any(len(path) != 1 for path in paths) or len(set(names)) != len(names):
        raise JobError(
            f"The model's {'inputs' if prefix == 'x' else 'outputs'} ({', '.join(names)}) are not supported: they must "
            "be one tensor, or a list or dict of tensors with different names."
        )
    return [f"{prefix}/{name}" for name in names]


def _packed(structure: Structure, values: list[Any]) -> Structure:
    """Values as a list or dict, or as the only value; Keras hands a structure of one to nobody."""
    if len(values) == 1 and not isinstance(structure, dict):
        return values[0]
    return keras.tree.pack_sequence_as(structure, values)


def _labelled(model: keras.Model, structure: Structure, names: list[str]) -> list[bool]:
    """For each output, whether a loss or a metric looks at its labels."""
    metrics = model._compile_metrics
    wanted = [model._compile_loss._user_loss if model._compile_loss is not None else None]
    wanted += [metrics._user_metrics, metrics._user_weighted_metrics] if metrics is not None else []
    return [any(_has(one, index, name) for one in wanted) for index, name in enumerate(names)]


def _has(compiled: Any, index: int, name: str) -> bool:
    """Whether what ``compile`` was given has something for an output."""
    if isinstance(compiled, dict):
        return compiled.get(name) is not None
    if isinstance(compiled, (list, tuple)) and index < len(compiled):
        return compiled[index] is not None
    return bool(compiled)
