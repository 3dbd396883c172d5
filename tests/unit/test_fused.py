"""Adam's fused step is Keras' step but for rounding, and no other optimizer's."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from paytrain.training.fused import fuse_step

STEPS = 20

Optimizers = Callable[[], keras.optimizers.Optimizer]


class Halved(keras.optimizers.Adam):
    """Somebody's own: half of Adam's step."""

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        super().update_step(gradient, variable, learning_rate / 2)


def trained(optimizer: keras.optimizers.Optimizer, dtype: str) -> list[np.ndarray]:
    """All variables after some steps with random gradients, some of them zero."""
    random = np.random.default_rng(3)
    variable = keras.Variable(random.standard_normal((40, 30)), dtype=dtype)
    optimizer.build([variable])
    apply = tf.function(lambda gradient: optimizer.apply([gradient], [variable]))
    for _ in range(STEPS):
        gradient = random.standard_normal((40, 30)) * 10.0 ** random.integers(-6, 4, (40, 30))
        apply(tf.constant(gradient * (random.random((40, 30)) < 0.9), dtype))
    return [np.asarray(v.value) for v in [variable, *optimizer.variables]]


# 1 - 0.999 in single precision is 1.3e-5 off, and so is the velocity.
@pytest.mark.parametrize(("dtype", "rounding"), [("float32", 2e-5), ("float64", 1e-13)])
@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.optimizers.Adam(0.01),
        lambda: keras.optimizers.Adam(
            keras.optimizers.schedules.ExponentialDecay(0.01, 5, 0.7), beta_1=0.8, beta_2=0.99, epsilon=1e-5
        ),
        lambda: keras.optimizers.Adam(0.01, clipnorm=0.5, use_ema=True),
        lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
    ],
    ids=["plain", "schedule", "clipped, averaged", "decayed"],
)
def test_it_is_adams_step_but_for_rounding(make: Optimizers, dtype: str, rounding: float) -> None:
    # given
    fused = make()
    fuse_step(fused)

    # when
    pairs = zip(trained(fused, dtype), trained(make(), dtype), strict=True)

    # then
    for mine, keras_own in pairs:
        np.testing.assert_allclose(mine, keras_own, rtol=rounding, atol=rounding)


@pytest.mark.parametrize(
    "make",
    [lambda: keras.optimizers.Adam(0.01, amsgrad=True), lambda: Halved(0.01), lambda: keras.optimizers.Nadam(0.01)],
    ids=["amsgrad", "own", "nadam"],
)
def test_another_mathematics_is_left_alone(make: Optimizers) -> None:
    # given
    same = make()
    fuse_step(same)

    # when
    pairs = zip(trained(same, "float32"), trained(make(), "float32"), strict=True)

    # then
    for mine, keras_own in pairs:
        np.testing.assert_array_equal(mine, keras_own)
