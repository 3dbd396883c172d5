"""What a rank reads in each step: its rows of the global batch, and its share of what Keras divides by."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paytrain.training.batches import Batches
from paytrain.training.data import Rows
from paytrain.training.losses import shares


@dataclass(frozen=True)
class Batch:
    """A rank's part of a global batch.

    Attributes
    ----------
    arrays
        Rows of the data by name.
    rows, global_rows
        Samples here and over all ranks.
    shares
        This rank's part of the samples, then of each loss' divisor, shape (1 + losses,).
    """

    arrays: dict[str, NDArray[Any]]
    rows: int
    global_rows: int
    shares: NDArray[np.float64]


class Feed:
    """The batches of one rank.

    Parameters
    ----------
    divisors, is_sum
        What the trainer says of the data and of the losses.
    """

    def __init__(
        self, rows: Rows, batches: Batches, rank: int, divisors: NDArray[np.float64] | None, is_sum: NDArray[Any]
    ) -> None:
        self._rows = rows
        self._batches = batches
        self._rank = rank
        self._divisors = divisors
        self._is_sum = is_sum

    def batch(self, step: int) -> Batch:
        """A rank's part of a step."""
        global_rows = self._batches.global_rows(step)
        rows = self._batches.rows_of(global_rows, self._rank)
        part = shares(rows, global_rows, self._divisors, self._is_sum)
        return Batch(self._rows.take(rows), len(rows), len(global_rows), part)

    def alone(self, step: int) -> Batch:
        """A rank's part of a step as a batch of its own."""
        rows = self._batches.rows(step, self._rank)
        part = shares(rows, rows, self._divisors, self._is_sum) if len(rows) else np.ones(1 + self._is_sum.size)
        return Batch(self._rows.take(rows), len(rows), len(rows), part)
