"""What the planner is asked: a job, where it may run, and what is left open."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from paytrain import memory
from paytrain.job import WIRES_WITH_RESIDUAL
from paytrain.planner.exchange import MEMCACHED_ITEM_BYTES
from paytrain.planner.sizes import payload_bytes

LONGEST_TIMEOUT_SECONDS = 900.0
"""That Lambda gives a function."""
_SGD, _ADAM = 0, 2
"""Vectors of the weights' size that an optimizer keeps."""


@dataclass(frozen=True)
class JobFacts:
    """What is known of a job.

    Attributes
    ----------
    parameters
        Trainable numbers.
    samples, validation_samples
        Rows of the training and validation data.
    batch_size
        Of one worker.
    step_seconds, step_memory_mb
        A step on one worker's batch, as measured in a function of this memory.
    optimizer_vectors
        Vectors of the weights' size that the optimizer keeps: 2 with Adam.
    data_bytes
        Of all training and validation arrays.
    metrics
        Numbers of the metrics' state, the loss included.
    save_seconds
        A checkpoint, if it was measured.
    """

    parameters: int
    samples: int
    batch_size: int
    epochs: int
    step_seconds: float
    step_memory_mb: int = 1769
    validation_samples: int = 0
    optimizer_vectors: float = _ADAM
    data_bytes: int = 0
    metrics: int = 3
    save_seconds: float | None = None

    def need(self, wire: str, sync_every: int) -> memory.Need:
        """The memory of a worker."""
        model = 4 * self.parameters
        return memory.need_of(
            model=model,
            optimizer=math.ceil(self.optimizer_vectors * model),
            data=self.data_bytes,
            elements=elements(self, sync_every),
            itemsize=8 if wire == "float64" else 4,
            has_residual=wire in WIRES_WITH_RESIDUAL,
            is_local=sync_every > 1,
        )

    @property
    def state_bytes(self) -> int:
        """Of a checkpoint: weights and optimizer."""
        return math.ceil((1 + self.optimizer_vectors) * 4 * self.parameters)


@dataclass(frozen=True)
class Cache:
    """A Memcached cluster.

    Attributes
    ----------
    mode
        ``provisioned``: it is there, and the run pays its share of the hours; ``per_execution``: made for the run,
        which pays whole hours.
    item_bytes
        Its largest item.
    """

    mode: str
    node_type: str
    nodes: int = 1
    item_bytes: int = MEMCACHED_ITEM_BYTES


@dataclass(frozen=True)
class Deployment:
    """Where a job may run.

    Attributes
    ----------
    channels
        That are deployed.
    memory_sizes
        Of the worker functions, MB.
    caches
        That may be used, by way of ``memcached``.
    max_workers
        Functions that may run at once.
    worker_timeout_seconds
        Of a lap.
    """

    channels: Sequence[str] = ("s3", "dynamodb")
    memory_sizes: Sequence[int] = (1769, 3008)
    caches: Sequence[Cache] = ()
    max_workers: int = 1000
    worker_timeout_seconds: float = LONGEST_TIMEOUT_SECONDS
    architecture: str = "x86_64"


_WORKERS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 256, 512, 1000)


@dataclass(frozen=True)
class Open:
    """What may be chosen from; a job that pins a key leaves one value.

    Of ``wires`` and ``sync_every`` the first is the job's own: another one trains differently, and is recommended only
    if nothing else keeps the limits.
    """

    channels: Sequence[str] = ("s3", "s3express", "dynamodb", "memcached")
    patterns: Sequence[str] = ("all_gather", "scatter_reduce", "hierarchical")
    workers: Sequence[int] = _WORKERS
    memory_mb: Sequence[int] = ()
    wires: Sequence[str] = ("float32",)
    sync_every: Sequence[int] = (1,)


@dataclass(frozen=True)
class Choice:
    """A way to run the job.

    Attributes
    ----------
    cache
        For ``memcached``.
    """

    channel: str
    pattern: str
    workers: int
    memory_mb: int
    wire: str = "float32"
    sync_every: int = 1
    cache: Cache | None = field(default=None)

    @property
    def name(self) -> str:
        """As a person says it."""
        if self.workers == 1:
            return f"1 × {self.memory_mb} MB, alone"
        where = self.channel + (f" ({self.cache.mode} {self.cache.node_type})" if self.cache else "")
        local = f", every {self.sync_every} steps" if self.sync_every > 1 else ""
        return f"{self.workers} × {self.memory_mb} MB over {where}, {self.pattern}, {self.wire}{local}"


def vector_bytes(job: JobFacts, choice: Choice) -> int:
    """Of what a rank contributes to a round, on its wire."""
    return payload_bytes(choice.wire, elements(job, choice.sync_every))


def elements(job: JobFacts, sync_every: int) -> int:
    """Numbers in a round: the gradient, or after local steps weights and the optimizer's state."""
    return job.parameters if sync_every == 1 else math.ceil((1 + job.optimizer_vectors) * job.parameters)
