"""A run whose numbers are no longer finite stops with a sentence that says where, and what to do."""

import keras
import numpy as np
import pytest

from paytrain.errors import TrainingDiverged
from paytrain.training.divergence import refuse_loss, refuse_weights
from paytrain.training.state import Progress

NAN, INFINITE = float("nan"), float("inf")


@pytest.fixture
def model() -> keras.Model:
    made = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1, name="last")], name="model")
    made.compile(keras.optimizers.SGD(0.5), "mse")
    return made


def progress(step: int) -> Progress:
    return Progress(step, samples=0, sums=np.zeros(1), history=[{"loss": 1.0}])


@pytest.mark.parametrize(("loss", "shown"), [(NAN, "nan"), (INFINITE, "inf")])
def test_a_loss_that_is_no_number_stops_the_run(model: keras.Model, loss: float, shown: str) -> None:
    with pytest.raises(TrainingDiverged) as stopped:
        refuse_loss(loss, progress(step=36), model)

    assert str(stopped.value) == (
        f"The loss is {shown} at step 37, in epoch 2, with learning_rate = 0.5: the run stops, and the model of its "
        "last checkpoint is exported. Lower learning_rate, or compile the optimizer with clipnorm."
    )


@pytest.mark.parametrize("value", [NAN, INFINITE, -INFINITE])
def test_spoilt_weights_become_no_checkpoint(model: keras.Model, value: float) -> None:
    # given
    kernel, bias = model.trainable_variables
    kernel.assign([[1.0], [value]])

    # when, then
    with pytest.raises(TrainingDiverged, match=r"^model/last/kernel is not finite at step 37, in epoch 2"):
        refuse_weights([bias, kernel], progress(step=37), model)


def test_finite_numbers_go_on(model: keras.Model) -> None:
    refuse_loss(1e30, progress(step=36), model)
    refuse_weights(model.trainable_variables, progress(step=37), model)
