"""What a rank does in a round: steps on its own, one vector to exchange, and what follows from the sum."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from paytrain.exchange.frame import Tally
from paytrain.training.batches import generator_seeds
from paytrain.training.feed import Feed
from paytrain.training.trainer import Trainer


@dataclass(frozen=True)
class Share:
    """What a rank brings to a round's exchange.

    Attributes
    ----------
    values
        The vector, shape (elements,), in the wire's dtype.
    samples
        That this rank has seen since the last round.
    sums
        Losses and metrics of these samples, float64, shape (metric elements,).
    """

    values: NDArray[Any]
    samples: int
    sums: NDArray[np.float64]


class Replica(Protocol):
    """One rank's copy of the model between two exchanges; the same on all ranks after each."""

    def step(self, step: int) -> None:
        """Compute one of the round's steps."""

    def share(self) -> Share:
        """What these steps bring to the exchange; nothing here refers to it afterwards."""

    def received(self, total: NDArray[Any]) -> Any:
        """What :meth:`apply` takes, from the sum over all ranks; nothing needs the sum afterwards."""

    def apply(self, update: Any) -> None:
        """Become what all ranks agree on."""

    def sums(self, tally: Tally) -> NDArray[np.float64]:
        """The round's losses and metrics over all ranks as an epoch adds them up, shape (metric elements,)."""


class SynchronousReplica:
    """A round is a step: gradients are summed, and all ranks make the same optimizer step.

    Parameters
    ----------
    seed
        Of the job.
    """

    def __init__(self, trainer: Trainer, feed: Feed, seed: int, rank: int) -> None:
        self._trainer = trainer
        self._feed = feed
        self._seed = seed
        self._rank = rank
        self._share: Share | None = None

    def step(self, step: int) -> None:
        """Gradient of this rank's share of the global batch's loss."""
        batch = self._feed.batch(step)
        seeds = generator_seeds(self._seed, self._rank, step, len(self._trainer.seed_states))
        mine = self._trainer.gradient(batch, seeds)
        self._share = Share(mine.gradient, batch.rows, mine.sums)

    def share(self) -> Share:
        """The gradient."""
        share, self._share = self._share, None
        assert share is not None
        return share

    def received(self, total: NDArray[Any]) -> Any:
        """The summed gradient, by variables."""
        return self._trainer.gradients(total)

    def apply(self, update: Any) -> None:
        """The optimizer's step."""
        self._trainer.apply(update)

    def sums(self, tally: Tally) -> NDArray[np.float64]:
        """Ranks sum shares of the global batch's loss, which Keras weighs by its samples."""
        return self._trainer.weighted(tally.metrics, tally.samples)
