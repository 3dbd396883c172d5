"""Time a model's training step on one processor: ``python -m local.plan_measure MODEL BATCH_SIZE`` prints JSON.

A process of its own, since TensorFlow takes its number of threads once.
"""

import json
import statistics
import sys
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf

_STEPS = 5
_ANY_LENGTH = 64
"""Of an axis that the model leaves open, such as the words of a sentence."""


def measure(path: str, batch_size: int) -> dict[str, Any]:
    """Sizes of a compiled model, and the median of a few steps on rows of zeros."""
    model = keras.models.load_model(path)
    inputs = [_zeros(each.shape, each.dtype, batch_size) for each in model.inputs]
    targets = [_targets(each.shape, str(model.loss), batch_size) for each in model.outputs]
    x, y = (many if len(many) > 1 else many[0] for many in (inputs, targets))
    model.train_on_batch(x, y)
    seconds = []
    for _ in range(_STEPS):
        began = time.monotonic()
        model.train_on_batch(x, y)
        seconds.append(time.monotonic() - began)
    parameters = sum(int(np.prod(each.shape)) for each in model.trainable_variables)
    state = sum(int(np.prod(each.shape)) for each in model.optimizer.variables)
    return {
        "parameters": parameters,
        "optimizer_vectors": round(state / parameters, 2),
        "step_seconds": statistics.median(seconds),
    }


def _zeros(shape: tuple[int | None, ...], dtype: str, batch_size: int) -> Any:
    return np.zeros([batch_size, *(axis or _ANY_LENGTH for axis in shape[1:])], dtype)


def _targets(shape: tuple[int | None, ...], loss: str, batch_size: int) -> Any:
    sizes = [axis or _ANY_LENGTH for axis in shape[1:]]
    return np.zeros([batch_size, *(sizes[:-1] if "sparse" in loss.lower() else sizes)], "int32")


if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
