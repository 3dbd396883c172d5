"""Local steps: every rank trains on its own batches, and once a round all take the mean of what has changed.

This is local SGD (S. U. Stich, *Local SGD Converges Fast and Communicates Little*, ICLR 2019) with the optimizer's
state averaged like the weights. After a round every rank is at ``base + mean(own - base)``, where ``base`` is the state
after the last round: as all ranks share it, the exchange carries only what has changed.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from paytrain.exchange.frame import Tally
from paytrain.training.batches import generator_seeds
from paytrain.training.feed import Feed
from paytrain.training.replica import Share
from paytrain.training.trainer import Trainer


class LocalReplica:
    """Trains by itself as Keras would on this rank's part of every global batch.

    A rank with no sample in an epoch's short last batch makes its step with a gradient of zero, so that counters
    stay equal on all ranks. Nothing is kept from round to round but the model and its optimizer.

    Parameters
    ----------
    seed
        Of the job.
    dtype
        Of the vector that is exchanged.
    """

    def __init__(self, trainer: Trainer, feed: Feed, seed: int, rank: int, workers: int, dtype: np.dtype[Any]) -> None:
        self._trainer = trainer
        self._feed = feed
        self._seed = seed
        self._rank = rank
        self._workers = workers
        self._dtype = dtype
        self._variables = state_variables(trainer.model)
        self._base: NDArray[Any] | None = None
        self._forget()

    def step(self, step: int) -> None:
        """A gradient and an optimizer step of this rank's own."""
        if self._base is None:
            self._base = self._state()
        batch = self._feed.alone(step)
        seeds = generator_seeds(self._seed, self._rank, step, len(self._trainer.seed_states))
        mine = self._trainer.gradient(batch, seeds)
        self._trainer.apply(self._trainer.gradients(mine.gradient))
        self._samples += batch.rows
        self._sums += self._trainer.weighted(mine.sums, batch.rows)

    def share(self) -> Share:
        """What has changed since the last round."""
        assert self._base is not None
        changed = self._state()
        changed -= self._base
        share = Share(changed, self._samples, self._sums)
        self._forget()
        return share

    def received(self, total: NDArray[Any]) -> Any:
        """The state of all ranks, from the sum of their changes."""
        total /= self._workers
        total += self._base
        self._base = None
        return total

    def apply(self, update: Any) -> None:
        """Set model and optimizer."""
        start = 0
        for variable in self._variables:
            end = start + _size(variable)
            variable.assign(update[start:end].reshape(variable.shape))
            start = end

    def sums(self, tally: Tally) -> NDArray[np.float64]:
        """Ranks have weighed each batch by its samples."""
        return tally.metrics

    def _forget(self) -> None:
        self._samples, self._sums = 0, np.zeros(self._trainer.metric_elements)

    def _state(self) -> NDArray[Any]:
        state = np.empty(sum(map(_size, self._variables)), self._dtype)
        start = 0
        for variable in self._variables:
            end = start + _size(variable)
            state[start:end] = np.asarray(tf.convert_to_tensor(variable)).ravel()
            start = end
        return state


def state_variables(model: keras.Model) -> list[keras.Variable]:
    """What steps change and ranks average: trainable weights, and the optimizer's floating variables.

    Counters are equal on all ranks, and so is the learning rate, which steps do not change.
    """
    optimizer = model.optimizer
    return list(model.trainable_variables) + [
        variable
        for variable in optimizer.variables
        if np.issubdtype(np.dtype(variable.dtype), np.floating) and variable is not optimizer._learning_rate
    ]


def state_elements(model: keras.Model) -> int:
    """Length of the vector that is exchanged."""
    return sum(map(_size, state_variables(model)))


def _size(variable: keras.Variable) -> int:
    return int(np.prod(variable.shape))
