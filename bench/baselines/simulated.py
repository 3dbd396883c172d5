"""The baselines in virtual time, on the simulator's services."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bench.baselines.algorithms import ALGORITHMS
from bench.baselines.hollow import Hollow, Vector
from bench.baselines.operations import (
    MERGED,
    TMP,
    Compute,
    Delete,
    Get,
    GetMany,
    List,
    Operation,
    Put,
    Scan,
    Sleep,
    Steps,
    Task,
)
from paytrain.exchange.simulator.profile import Profile
from paytrain.exchange.simulator.services import S3, DynamoDB, Memcached
from paytrain.exchange.simulator.world import Done, Process, Start, World, total_usage

NODE_TYPE = "cache.m7g.large"


@dataclass
class Outcome:
    """What a simulation shows.

    Attributes
    ----------
    seconds
        Of every round, until its slowest worker has the mean.
    usage
        Counts of all workers and rounds together, under the names of the real channels.
    means
        Of the last round, by rank.
    """

    seconds: list[float] = field(default_factory=list)
    usage: dict[str, float] = field(default_factory=dict)
    means: list[Any] = field(default_factory=list)


def simulate(
    algorithm: str,
    channel: str,
    *,
    workers: int,
    size_bytes: int,
    profile: Profile,
    seed: int = 0,
    rounds: int = 3,
    node_type: str = NODE_TYPE,
) -> Outcome:
    """Exchange vectors of which only the size is known.

    Parameters
    ----------
    size_bytes
        Of each worker's float32 vector.
    node_type
        Of the cache, which has one node: LambdaML's client knows one server.
    """
    world = World(profile, workers=workers, seed=seed, in_vpc=channel == "memcached")
    vectors = [Hollow(size_bytes // 4)] * workers
    return simulate_vectors(algorithm, channel, vectors, world=world, rounds=rounds, node_type=node_type)


def simulate_vectors(
    algorithm: str,
    channel: str,
    vectors: Sequence[Vector],
    *,
    world: World,
    rounds: int = 1,
    node_type: str = NODE_TYPE,
) -> Outcome:
    """Exchange the ranks' vectors; rounds begin together, when everything of the last one has ended."""
    start = _SERVICES[channel](world, node_type)
    outcome = Outcome(means=[None] * len(vectors))
    for step in range(rounds):
        began, ended = world.clock.now, [world.clock.now]

        def finish(rank: int, means: Sequence[Any], ended: list[float] = ended) -> None:
            outcome.means[rank] = means[-1]
            ended.append(world.clock.now)

        for rank, vector in enumerate(vectors):
            threads = ALGORITHMS[algorithm](Task(channel, rank, len(vectors), vector, step))
            processes = [partial(world.run, _process(start, rank, thread)) for thread in threads]
            world.together(processes, len(processes))(partial(finish, rank))
        world.clock.run()
        outcome.seconds.append(max(ended) - began)
    outcome.usage = total_usage(world.usage)
    return outcome


StartOperation = Callable[[int, Operation, Done], None]
"""Begins a rank's operation."""


def _process(start: StartOperation, rank: int, steps: Steps) -> Process:
    answer: Any = None
    try:
        while True:
            operation = steps.send(answer)
            begin: Start = partial(start, rank, operation)
            answer = yield begin
    except StopIteration as stop:
        return stop.value


def _pass_time(world: World, rank: int, operation: Operation, done: Done) -> None:
    if isinstance(operation, Sleep):
        world.clock.at(world.clock.now + operation.seconds, partial(done, None))
    elif isinstance(operation, Compute):
        world.clock.at(world.cpu(rank, operation.seconds), partial(done, None))
    else:
        raise TypeError(f"The channel has no {type(operation).__name__}.")


def _s3(world: World, node_type: str) -> StartOperation:
    buckets = {TMP: S3(world), MERGED: S3(world)}

    def start(rank: int, operation: Operation, done: Done) -> None:
        match operation:
            case Put(folder, key, body):
                buckets[folder].put(rank, key, body, len(body), done)
            case Get(folder, key):
                buckets[folder].get(rank, key, None, done)
            case List(folder, prefix):
                buckets[folder].list(rank, prefix, done)
            case Delete(folder, keys):
                buckets[folder].delete(rank, keys, done)
            case _:
                _pass_time(world, rank, operation, done)

    return start


def _dynamodb(world: World, node_type: str) -> StartOperation:
    tables = {TMP: DynamoDB(world), MERGED: DynamoDB(world)}

    def start(rank: int, operation: Operation, done: Done) -> None:
        match operation:
            case Put(folder, key, body):
                tables[folder].put(rank, key, body, len(body) + len(key) + _NAMES_BYTES, done)
            case Get(folder, key):
                tables[folder].get(rank, [key], lambda found: done(found.get(key)), consistent=False)
            case Scan(folder):
                tables[folder].scan(rank, done)
            case Delete(folder, keys):
                each = [partial(tables[folder].delete, rank, key) for key in keys]
                world.together(each, at_once=1)(done)
            case _:
                _pass_time(world, rank, operation, done)

    return start


def _memcached(world: World, node_type: str) -> StartOperation:
    node = Memcached(world, node_type=node_type)

    def start(rank: int, operation: Operation, done: Done) -> None:
        match operation:
            case Put(folder, key, body):
                node.add(rank, 0, f"{folder}/{key}", body, len(body), done)
            case Get(folder, key):
                name = f"{folder}/{key}"
                node.get(rank, 0, [name], lambda found: done(found.get(name)))
            case GetMany(folder, keys):
                names = {f"{folder}/{key}": key for key in keys}
                node.get(rank, 0, list(names), lambda found: done({names[name]: found[name] for name in found}))
            case Delete(folder, keys):
                node.delete(rank, [f"{folder}/{key}" for key in keys], done)
            case _:
                _pass_time(world, rank, operation, done)

    return start


_NAMES_BYTES = len("key") + len("body")
"""Of an item: the names of its attributes count towards its size."""

_SERVICES: dict[str, Callable[[World, str], StartOperation]] = {
    "s3": _s3,
    "dynamodb": _dynamodb,
    "memcached": _memcached,
}
