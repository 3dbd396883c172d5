"""Training that no longer computes with finite numbers is stopped, so that the last good checkpoint is exported."""

import math
from collections.abc import Sequence

import keras
import numpy as np

from paytrain.errors import TrainingDiverged
from paytrain.training.state import Progress


def refuse_loss(loss: float, progress: Progress, model: keras.Model, steps: int = 1) -> None:
    """Stop at the loss where ``keras.callbacks.TerminateOnNaN`` would: when it is NaN or infinite.

    Parameters
    ----------
    loss
        Of the global batch; over all of a round's steps.
    progress
        Before it counts these steps.

    Raises
    ------
    TrainingDiverged
    """
    if not math.isfinite(loss):
        raise TrainingDiverged(_sentence(f"The loss is {loss}", progress.step + steps, progress, model))


def refuse_weights(weights: Sequence[keras.Variable], progress: Progress, model: keras.Model) -> None:
    """Stop before weights that an infinite gradient has spoilt become a checkpoint: their loss comes a step later.

    Parameters
    ----------
    progress
        After it has counted this step.

    Raises
    ------
    TrainingDiverged
    """
    for variable in weights:
        if not np.isfinite(variable.numpy()).all():
            raise TrainingDiverged(_sentence(f"{variable.path} is not finite", progress.step, progress, model))


def _sentence(what: str, step: int, progress: Progress, model: keras.Model) -> str:
    epoch = len(progress.history) + 1
    rate = float(model.optimizer.learning_rate)
    return (
        f"{what} at step {step}, in epoch {epoch}, with learning_rate = {rate:g}: the run stops, and the model of its "
        "last checkpoint is exported. Lower learning_rate, or compile the optimizer with clipnorm."
    )
