"""Small models and data for the tests that train."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from paytrain.training.trainer import Trainer

CLASSES = 10


def digits(samples: int, dtype: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Random images of 8×8 with random labels: harder on arithmetic than real ones."""
    rng = np.random.default_rng(7)
    return rng.standard_normal((samples, 8, 8, 1)).astype(dtype), rng.integers(0, CLASSES, samples)


def use(dtype: str) -> None:
    """Make ``dtype`` the type of everything that is built from here on."""
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)


def smooth(dtype: str) -> keras.Model:
    """tanh and average pooling: no ties, so rounding stays rounding."""
    return _convolutional(dtype, "tanh", keras.layers.AveragePooling2D)


def kinked(dtype: str) -> keras.Model:
    """ReLU and max pooling: in float32 ties flip, in float64 they do not."""
    return _convolutional(dtype, "relu", keras.layers.MaxPooling2D)


def _convolutional(dtype: str, activation: str, pooling: type[keras.layers.Layer]) -> keras.Model:
    use(dtype)
    keras.utils.set_random_seed(1)
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation=activation),
            pooling(2),
            layers.Flatten(),
            layers.Dense(16, activation=activation),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )


def noisy(dtype: str) -> keras.Model:
    """Dropout and BatchNorm: random numbers and state of a rank's own."""
    use(dtype)
    keras.utils.set_random_seed(1)
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Flatten(),
            layers.Dense(16),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )


def trainer(model: keras.Model, dtype: str, x: NDArray[Any], y: NDArray[Any]) -> Trainer:
    """A trainer with an exact wire."""
    return Trainer(model, dtype, {"x": x[:1], "y": y[:1]})
