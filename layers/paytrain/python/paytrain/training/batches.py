"""Which samples a rank sees in a step: a pure function of seed, epoch, step, rank and world size.

The global batch of a step does not depend on how many workers share it, only on ``workers`` × ``batch_size``.
"""

import functools
import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paytrain.exchange.segments import even_slices
from paytrain.plan import steps_per_epoch


@dataclass(frozen=True)
class Batches:
    """The batches of a run.

    Attributes
    ----------
    samples
        Rows of the training data.
    batch_size
        Rows per rank; the global batch has ``world_size`` times as many, an epoch's last one may have fewer.
    shuffle
        A new permutation in every epoch, as in Keras; else the data's own order.
    """

    samples: int
    batch_size: int
    world_size: int
    seed: int
    shuffle: bool

    @property
    def global_batch_size(self) -> int:
        """Rows of a full step over all ranks."""
        return self.batch_size * self.world_size

    @property
    def steps_per_epoch(self) -> int:
        """Steps in an epoch, the short last one included."""
        return steps_per_epoch(self.samples, self.global_batch_size)

    def global_rows(self, step: int) -> NDArray[np.int64]:
        """Row numbers of a step's global batch, shape (rows,)."""
        epoch, index = divmod(step, self.steps_per_epoch)
        start = index * self.global_batch_size
        if not self.shuffle:
            return np.arange(start, min(start + self.global_batch_size, self.samples))
        return permutation(self.samples, self.seed, epoch)[start : start + self.global_batch_size]

    def rows(self, step: int, rank: int) -> NDArray[np.int64]:
        """Row numbers of a rank's part of a step, shape (rows,); a short global batch is split evenly."""
        return self.rows_of(self.global_rows(step), rank)

    def rows_of(self, global_rows: NDArray[np.int64], rank: int) -> NDArray[np.int64]:
        """A rank's part of a global batch, shape (rows,)."""
        return global_rows[even_slices(len(global_rows), self.world_size)[rank]]

    def sizes(self, rank: int) -> set[int]:
        """How many rows a rank can get in a step."""
        last = self.steps_per_epoch - 1
        return {len(self.rows(step, rank)) for step in (0, last)}


@functools.lru_cache(maxsize=2)
def permutation(samples: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order of samples in an epoch, shape (samples,).

    Philox is counter based, and its stream does not depend on the platform.
    """
    generator = np.random.Generator(np.random.Philox(key=_hash(seed, epoch)))
    return generator.permutation(samples)


def generator_seeds(seed: int, rank: int, step: int, count: int) -> NDArray[np.uint32]:
    """States of a model's seed generators for one step, shape (count, 2): Dropout needs no checkpoint then."""
    digests = [_hash(seed, rank, index, step) & (2**64 - 1) for index in range(count)]
    return np.array([[digest >> 32, digest & 0xFFFFFFFF] for digest in digests], dtype=np.uint32).reshape(count, 2)


def _hash(*numbers: int) -> int:
    """128 bits that depend on all numbers alike."""
    text = ",".join(map(str, numbers)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "little")
