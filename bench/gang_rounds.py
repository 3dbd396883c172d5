"""What a round takes in the twin, where workers and emulator share this machine's processors.

As many processes as there are workers, with the workers' role, whose permissions the emulator looks at with every
request. They sum real vectors over the deployed bucket or table, and compute between two rounds as long as a step does.
"""

import os
import statistics
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier

import boto3
import numpy as np

from bench.contender import all_reduce_over
from paytrain.channels.open import open_channel
from paytrain.exchange.driver import Patience
from paytrain.exchange.frame import Tally
from paytrain.plan import Plan
from paytrain.planner.exchange import Exchange

_ROUNDS = 40
_PATIENCE_SECONDS = 120


@dataclass(frozen=True)
class Place:
    """Where the processes exchange, who they are, and what their keys begin with, which are as long as a run's."""

    bucket: str
    table: str
    credentials: Mapping[str, str]
    prefix: str


def measure(exchange: Exchange, step_seconds: float) -> float:
    """Seconds that a round adds to a step, on average.

    Parameters
    ----------
    step_seconds
        Of a step while all workers compute: each has its share of this machine's processors.

    Raises
    ------
    EOFError
        When a process has died; it has said why.
    """
    spawn, place = get_context("spawn"), _place()
    barrier, processes, pipes = spawn.Barrier(exchange.workers, timeout=_PATIENCE_SECONDS), [], []
    busy_seconds = step_seconds * min(1.0, (os.cpu_count() or 1) / exchange.workers)
    for rank in range(exchange.workers):
        mine, its = spawn.Pipe(duplex=False)
        process = spawn.Process(target=_rank, args=(exchange, place, rank, busy_seconds, barrier, its), daemon=True)
        process.start()
        its.close()
        processes.append(process)
        pipes.append(mine)
    found = [pipe.recv() for pipe in pipes]
    for process in processes:
        process.join()
    return max(0.0, statistics.mean(found) - step_seconds)


def _place() -> Place:
    """Of the deployed workers."""
    functions = boto3.client("lambda").list_functions()["Functions"]
    known = [(each, each.get("Environment", {}).get("Variables", {})) for each in functions]
    function, variables = next(each for each in known if "EXCHANGE_TABLE" in each[1])
    role = boto3.client("sts").assume_role(RoleArn=function["Role"], RoleSessionName="bench")["Credentials"]
    return Place(
        bucket=variables["EXCHANGE_BUCKET"],
        table=variables["EXCHANGE_TABLE"],
        credentials={
            "AWS_ACCESS_KEY_ID": role["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": role["SecretAccessKey"],
            "AWS_SESSION_TOKEN": role["SessionToken"],
        },
        prefix=f"{uuid.uuid4()}/0/0",
    )


def _rank(
    exchange: Exchange, place: Place, rank: int, busy_seconds: float, barrier: Barrier, parent: Connection
) -> None:
    os.environ.update(place.credentials)
    tuning = exchange.tuning
    plan = Plan.model_construct(channel=exchange.channel, item_bytes=exchange.item_bytes)
    threads = tuning.puts_at_once + tuning.gets_at_once
    channel = open_channel(plan, exchange_bucket=place.bucket, exchange_table=place.table, threads=threads)
    all_reduce = all_reduce_over(channel, tuning, exchange.pattern, place.prefix, rank, exchange.workers)
    ones, tally = np.ones(exchange.elements, np.float32), Tally(1, 0, np.zeros(exchange.metrics))

    def round_() -> None:
        patience = Patience(_PATIENCE_SECONDS, time.monotonic() + _PATIENCE_SECONDS, lambda: None)
        if not (all_reduce.sum(ones, tally, patience).values == exchange.workers).all():
            raise AssertionError(f"{exchange.channel}: rank {rank} has another sum.")

    round_()  # The first makes the connections.
    barrier.wait()
    began = time.monotonic()
    for _ in range(_ROUNDS):
        _compute(busy_seconds)
        round_()
    parent.send((time.monotonic() - began) / _ROUNDS)


def _compute(busy_seconds: float) -> None:
    """Keep a processor busy."""
    ends = time.process_time() + busy_seconds
    while time.process_time() < ends:
        pass
