"""Adam's step as one operation per variable; Keras' own makes a dozen, with temporaries of three times its size."""

from types import MethodType
from typing import Any

import keras
import tensorflow as tf

_OPTIMIZERS = (keras.optimizers.Adam, keras.optimizers.AdamW)
_DTYPES = (tf.float32, tf.float64)


def fuse_step(optimizer: keras.optimizers.Optimizer) -> None:
    """Replace the update of one variable by TensorFlow's ``ResourceApplyAdam``, where that is the same mathematics.

    The results differ from Keras' by rounding: Keras computes 1 − β in double precision, the operation in the
    variable's, so that a velocity in float32 is 1.3e-5 off. Everything around the update (clipping, schedules, weight
    decay, averages) stays Keras'.
    """
    if type(optimizer) in _OPTIMIZERS and not optimizer.amsgrad:
        optimizer.update_step = MethodType(_update_step, optimizer)


def leave_out_replicas(optimizer: keras.optimizers.Optimizer) -> None:
    """Take the sum over the replicas of ``tf.distribute``, of which there is one, out of an optimizer's step.

    It gives back what it gets, and has a gradient of its own (``tf.custom_gradient``), which TensorFlow registers for
    as long as the process lives, and with it the graph of the step: a sandbox would keep one for every model it has
    seen.
    """
    optimizer._all_reduce_sum_gradients = list


def _update_step(adam: Any, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
    if variable.dtype not in _DTYPES:
        type(adam).update_step(adam, gradient, variable, learning_rate)
        return
    dtype = variable.dtype
    step = tf.cast(adam.iterations + 1, dtype)
    index = adam._get_variable_index(variable)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=adam._momentums[index].value.handle,
        v=adam._velocities[index].value.handle,
        # As Keras does: a Python number is of single precision here, and of the variable's below.
        beta1_power=tf.pow(keras.ops.cast(adam.beta_1, dtype.name), step),
        beta2_power=tf.pow(keras.ops.cast(adam.beta_2, dtype.name), step),
        lr=tf.cast(learning_rate, dtype),
        beta1=tf.constant(adam.beta_1, dtype),
        beta2=tf.constant(adam.beta_2, dtype),
        epsilon=tf.constant(adam.epsilon, dtype),
        grad=tf.cast(gradient, dtype),
    )
