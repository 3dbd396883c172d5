"""What the twin's emulator serves several clients at once: a round's writes, then its reads, by all ranks.

The clients have the workers' role, whose permissions the emulator looks at with every request. Nobody waits for anybody
within a phase, and nothing is asked in vain: what it takes is the server's time, and that of the clients who share its
processors.
"""

import os
import statistics
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier

import boto3

from paytrain.channels.chunks import parts_of
from paytrain.channels.open import open_channel
from paytrain.plan import Plan
from paytrain.planner.exchange import Exchange

_ROUNDS = 9
"""The first one makes the connections, and is not counted."""
_LONGEST_SECONDS = 120
"""A client that others wait for longer has died."""

Phases = tuple[tuple[float, float], tuple[float, float]]
"""Of a client and round: begin and end of writing, and of reading."""


@dataclass(frozen=True)
class Served:
    """Seconds of a round's writes and reads of all ranks."""

    puts: float
    gets: float


@dataclass(frozen=True)
class Place:
    """Where the clients write, who they are, and what their keys begin with, which are as long as a run's."""

    bucket: str
    table: str
    credentials: Mapping[str, str]
    prefix: str


def measure(exchange: Exchange) -> Served:
    """Have as many processes as there are workers write and read in the twin; medians of some rounds.

    Parameters
    ----------
    exchange
        With a pattern in which all ranks do alike: ``scatter_reduce`` or ``all_gather``.

    Raises
    ------
    EOFError
        When a client has died; it has said why.
    """
    spawn, place = get_context("spawn"), _place()
    barrier, processes, pipes = spawn.Barrier(exchange.workers, timeout=_LONGEST_SECONDS), [], []
    for rank in range(exchange.workers):
        mine, its = spawn.Pipe(duplex=False)
        process = spawn.Process(target=_client, args=(exchange, place, rank, barrier, its), daemon=True)
        process.start()
        its.close()
        processes.append(process)
        pipes.append(mine)
    marks = [pipe.recv() for pipe in pipes]
    for process in processes:
        process.join()
    return Served(_median(marks, 0), _median(marks, 1))


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


def _median(marks: Sequence[Sequence[Phases]], phase: int) -> float:
    """From the first client's begin to the last one's end of a phase."""
    rounds = zip(*marks, strict=True)
    spans = [max(each[phase][1] for each in one) - min(each[phase][0] for each in one) for one in rounds]
    return statistics.median(spans[1:])


def _client(exchange: Exchange, place: Place, rank: int, barrier: Barrier, parent: Connection) -> None:
    os.environ.update(place.credentials)
    tuning, peers = exchange.tuning, [each for each in range(exchange.workers) if each != rank]
    plan = Plan.model_construct(channel=exchange.channel, item_bytes=exchange.item_bytes)
    threads = tuning.puts_at_once + tuning.gets_at_once
    channel = open_channel(plan, exchange_bucket=place.bucket, exchange_table=place.table, threads=threads)
    objects = [
        [[bytes(hop.bytes_up // hop.written.total())]] * (hop.written.total() // hop.writers)
        for hops in exchange.segments
        for hop in hops
    ]
    marks = []
    with ThreadPoolExecutor(tuning.puts_at_once) as putting, ThreadPoolExecutor(tuning.gets_at_once) as getting:
        for number in range(_ROUNDS):
            barrier.wait()
            began = time.monotonic()
            puts = [
                putting.submit(channel.put, f"{place.prefix}/{number}/{index}/{rank}", frames)
                for index, frames in enumerate(objects)
            ]
            for put in puts:
                put.result()
            stored = time.monotonic()
            barrier.wait()
            reading = time.monotonic()
            gets = [
                getting.submit(channel.get, f"{place.prefix}/{number}/{index}/{peer}", parts_of(frames)[0])
                for index, frames in enumerate(objects)
                for peer in peers
            ]
            if not all(get.result() for get in gets):
                raise AssertionError(f"{exchange.channel}: what was written cannot be read.")
            marks.append(((began, stored), (reading, time.monotonic())))
    parent.send(marks)
