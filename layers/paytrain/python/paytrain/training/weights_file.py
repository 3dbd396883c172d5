"""Keras' weights file, read with a copy less of every array on the way into a variable."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf
from keras.src.saving import saving_lib

_LARGE_BYTES = 2**20
"""Below this, copies cost nothing."""


@contextmanager
def fewer_copies() -> Iterator[None]:
    """While it lasts, Keras gets a large array of a weights file as a tensor, which it assigns as it is.

    An array it would first make a tensor of with ``constant``, which copies twice and keeps both.
    """
    original = saving_lib.H5IOStore.__getitem__

    def get(store: Any, key: str) -> Any:
        dataset = saving_lib.safe_get_h5_dataset(store._h5_entry_group, key)
        # Those of bfloat16 are said to be so in an attribute, which Keras looks at.
        if dataset.nbytes < _LARGE_BYTES or dataset.dtype.kind != "f" or "dtype" in dataset.attrs:
            return original(store, key)
        array = np.empty(dataset.shape, dataset.dtype)
        dataset.read_direct(array)
        return tf.raw_ops.Identity(input=array)

    saving_lib.H5IOStore.__getitem__ = get
    try:
        yield
    finally:
        saving_lib.H5IOStore.__getitem__ = original
