"""One call sums a vector over all ranks: real drivers, a rank a thread, over a channel in memory."""

import functools
import math
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from paytrain.errors import PeerLost
from paytrain.exchange.all_reduce import AllReduce
from paytrain.exchange.driver import Driver, Patience
from paytrain.exchange.frame import Tally
from paytrain.exchange.patterns import PATTERNS
from paytrain.exchange.segments import even_slices
from tests.memory_channel import MemoryChannel, finish_deletions

ROUNDS = 3
PATTERN = pytest.mark.parametrize("pattern", PATTERNS)


def patience(peer_seconds: float = 120.0) -> Patience:
    return Patience(peer_seconds, time.monotonic() + 120.0, lambda: None)


def contribution(rank: int, round_: int, elements: int) -> tuple[NDArray[Any], Tally]:
    random = np.random.default_rng((rank, round_))
    values = (random.standard_normal(elements) * 10.0 ** random.integers(-4, 5, elements)).astype(np.float32)
    return values, Tally(rank + 1, 1 << rank if round_ == rank else 0, random.standard_normal(2))


def plus(one: tuple[NDArray[Any], Tally], other: tuple[NDArray[Any], Tally]) -> tuple[NDArray[Any], Tally]:
    return one[0] + other[0], one[1].plus(other[1])


def rank_of(
    channel: MemoryChannel, pattern: str, world_size: int, elements: int, segments: int, rank: int
) -> list[tuple[bytes, bytes, int, int]]:
    """All rounds of a rank."""
    results = []
    with closing(Driver(channel, puts_at_once=4, gets_at_once=4)) as driver:
        exchange = AllReduce(driver, pattern=pattern, segments=segments, prefix="run", rank=rank, world_size=world_size)
        for round_ in range(ROUNDS):
            summed = exchange.sum(*contribution(rank, round_, elements), patience())
            tally = summed.tally
            results.append((summed.values.tobytes(), tally.metrics.tobytes(), tally.samples, tally.votes))
    return results


@PATTERN
@pytest.mark.parametrize("segments", [1, 3])
@pytest.mark.parametrize(("world_size", "elements"), [(1, 5), (2, 0), (2, 1), (3, 2), (5, 1000)])
def test_all_ranks_get_the_sum_in_rank_order(pattern: str, segments: int, world_size: int, elements: int) -> None:
    # Given as many ranks, each in a thread of its own
    channel = MemoryChannel()
    rank = partial(rank_of, channel, pattern, world_size, elements, segments)
    # When they exchange a few rounds
    with ThreadPoolExecutor(world_size) as pool:
        results = list(pool.map(rank, range(world_size)))
    # Then all have the bits of the plainest sum in rank order
    expected = []
    for round_ in range(ROUNDS):
        contributions = [contribution(peer, round_, elements) for peer in range(world_size)]
        if pattern == "hierarchical":
            groups = even_slices(world_size, math.isqrt(world_size))
            contributions = [functools.reduce(plus, contributions[group]) for group in groups]
        total, tally = functools.reduce(plus, contributions)
        expected.append((total.tobytes(), tally.metrics.tobytes(), tally.samples, tally.votes))
    assert results == [expected] * world_size
    # And only the last round is left in the channel
    finish_deletions()
    assert {key.split("/")[1] for key in channel.objects} == {str(ROUNDS - 1)}


def test_alone_there_is_nothing_to_exchange() -> None:
    # Given a world of one, which needs no channel
    values, tally = contribution(0, 0, 10)
    exchange = AllReduce(None, pattern="leader", segments=1, prefix="", rank=0, world_size=1)
    # When it sums, then the sum is what it gave
    summed = exchange.sum(values, tally, patience())
    assert summed.values.tobytes() == values.tobytes()
    assert summed.tally == tally


def test_vectors_of_other_shapes_may_come_between() -> None:
    # Given that gradients, own statistics and metrics take turns
    channel = MemoryChannel()
    thirds = np.full(4, 1 / 3)
    shapes = [np.ones(4, np.float32), thirds, np.zeros(0), np.full(4, 2, np.float32)]

    def run(rank: int) -> list[list[float]]:
        with closing(Driver(channel, puts_at_once=4, gets_at_once=4)) as driver:
            exchange = AllReduce(driver, pattern="all_gather", segments=2, prefix="run", rank=rank, world_size=2)
            return [exchange.sum(values, Tally(0, 0, np.zeros(0)), patience()).values.tolist() for values in shapes]

    # When both ranks exchange them in the same order, then each sum has its vector's shape and precision
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, range(2))) == [[[2.0] * 4, [2 / 3] * 4, [], [4.0] * 4]] * 2


@PATTERN
def test_a_peer_that_never_comes_is_named(pattern: str) -> None:
    # Given two ranks of three
    channel = MemoryChannel()

    def run(rank: int) -> str:
        with closing(Driver(channel, puts_at_once=4, gets_at_once=4)) as driver:
            exchange = AllReduce(driver, pattern=pattern, segments=1, prefix="run", rank=rank, world_size=3)
            with pytest.raises(PeerLost) as lost:
                exchange.sum(*contribution(rank, 0, 10), patience(peer_seconds=0.05))
            return str(lost.value)

    # When they exchange
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(run, range(2))
    # Then rank 0 misses the third; and so does rank 1, unless it can only see that the sum does not come
    assert "Rank 2 has stored nothing under run/0/0/0/2" in first
    assert ("Rank 0" if pattern == "leader" else "Rank 2") in second
