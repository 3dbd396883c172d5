"""What is measured on real servers: gangs of worker processes, one gang per algorithm, that exchange when told to.

The gangs wait while another is measured. Each worker knows the exact sum, since the numbers are whole, and looks at it
after every exchange.
"""

import itertools
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Self

import boto3
import numpy as np
from numpy.typing import NDArray

from bench.baselines import real
from bench.baselines.operations import Task
from bench.cases import Case
from bench.counted import Counted
from paytrain.channels.base import Channel
from paytrain.channels.open import open_channel
from paytrain.exchange.all_reduce import AllReduce
from paytrain.exchange.driver import Driver, Patience
from paytrain.exchange.frame import Tally
from paytrain.exchange.tuning import Tuning, tune
from paytrain.plan import Plan

PATIENCE_SECONDS = 600
_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
"""The emulator's root user."""

Vector = NDArray[np.float32]


@dataclass(frozen=True)
class Place:
    """Where a gang exchanges.

    Attributes
    ----------
    endpoints
        ``host:port`` of the server or of a proxy before it, one per rank.
    name
        What the buckets, tables or keys are called.
    """

    endpoints: Sequence[str]
    name: str


class Gang:
    """The processes of one algorithm."""

    def __init__(self, case: Case, place: Place) -> None:
        spawn = get_context("spawn")
        self._connections: list[Connection] = []
        self._processes = []
        for rank in range(case.workers):
            mine, its = spawn.Pipe()
            process = spawn.Process(target=_work, args=(case, place, rank, its), daemon=True)
            process.start()
            its.close()
            self._connections.append(mine)
            self._processes.append(process)
        for connection in self._connections:
            connection.recv()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.terminate()
            process.join()

    def round(self) -> tuple[float, dict[str, float]]:
        """Exchange once: seconds from the first worker's begin to the last one's end, and what all have used.

        Raises
        ------
        EOFError
            When a worker has died; it has said why.
        """
        for connection in self._connections:
            connection.send(None)
        answers = [connection.recv() for connection in self._connections]
        usage: Counter[str] = Counter()
        for _, _, used in answers:
            usage.update(used)
        return max(ended for _, ended, _ in answers) - min(began for began, _, _ in answers), dict(usage)


Exchange = Callable[[int], tuple[Vector, dict[str, float]]]
"""Round number → the sum over all ranks, and what was used."""


def _work(case: Case, place: Place, rank: int, parent: Connection) -> None:
    os.environ.update(_CREDENTIALS, AWS_ENDPOINT_URL=f"http://{place.endpoints[rank]}", NO_PROXY="127.0.0.1")
    if rank == 0:
        _create(case, place)
    expected = np.zeros(case.elements, np.float32)
    for each in range(case.workers):
        expected += _vector(case, each)
    exchange = (_peers if case.is_peer else _ours)(case, place, rank, _vector(case, rank))
    parent.send("ready")
    for number in itertools.count():
        parent.recv()
        began = time.monotonic()
        found, usage = exchange(number)
        ended = time.monotonic()
        if not np.array_equal(found, expected):
            raise AssertionError(f"{case.algorithm} on {case.channel}: rank {rank} has another sum.")
        parent.send((began, ended, usage))


def _create(case: Case, place: Place) -> None:
    if case.is_peer:
        real.create(case.channel, place.name)
    elif case.channel == "s3":
        boto3.client("s3").create_bucket(Bucket=place.name)
    elif case.channel == "dynamodb":
        boto3.client("dynamodb").create_table(
            TableName=place.name,
            AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )


def _vector(case: Case, rank: int) -> Vector:
    random = np.random.default_rng([case.bytes, rank])
    return random.integers(-1000, 1000, case.elements, np.int16).astype(np.float32)


def all_reduce_over(channel: Channel, tuning: Tuning, pattern: str, prefix: str, rank: int, workers: int) -> AllReduce:
    """Our exchange of a rank, as a worker runs it."""
    return AllReduce(
        Driver(channel, puts_at_once=tuning.puts_at_once, gets_at_once=tuning.gets_at_once),
        pattern=pattern,
        segments=tuning.segments,
        window=tuning.window,
        prefix=prefix,
        rank=rank,
        world_size=workers,
    )


def _ours(case: Case, place: Place, rank: int, vector: Vector) -> Exchange:
    tuning = tune(case.channel, case.algorithm, workers=case.workers, vector_bytes=case.bytes)
    plan = Plan.model_construct(channel=case.channel, item_bytes=case.item_bytes, cache_endpoint=place.endpoints[rank])
    threads = tuning.puts_at_once + tuning.gets_at_once
    channel = open_channel(plan, exchange_bucket=place.name, exchange_table=place.name, threads=threads)
    all_reduce = all_reduce_over(channel, tuning, case.algorithm, place.name, rank, case.workers)
    tally = Tally(1, 0, np.zeros(3))

    def exchange(number: int) -> tuple[Vector, dict[str, float]]:
        before = channel.usage.snapshot()
        patience = Patience(PATIENCE_SECONDS, time.monotonic() + PATIENCE_SECONDS, lambda: None)
        found = all_reduce.sum(vector, tally, patience).values
        return found, {name: total - before.get(name, 0.0) for name, total in channel.usage.snapshot().items()}

    return exchange


def _peers(case: Case, place: Place, rank: int, vector: Vector) -> Exchange:
    counted = Counted(case.channel, real.open_channel(case.channel, place.name, place.endpoints[rank]))

    def exchange(number: int) -> tuple[Vector, dict[str, float]]:
        counted.usage.clear()
        mean = real.exchange(case.algorithm, counted, Task(case.channel, rank, case.workers, vector, number))
        return mean * np.float32(case.workers), dict(counted.usage)

    return exchange
