"""Patterns under virtual time: the same sums as anywhere, no more requests than needed, times that can be explained."""

from collections.abc import Callable
from functools import partial

import pytest

from paytrain.exchange.operations import Steps
from paytrain.exchange.patterns import PATTERNS
from paytrain.exchange.patterns.member import Member
from paytrain.exchange.simulator.profile import built_in
from paytrain.exchange.simulator.simulate import Simulated, open_channel, run_ranks, simulate_pattern
from paytrain.exchange.simulator.world import World
from paytrain.exchange.tuning import Tuning, tune
from paytrain.exchange.wires import WIRES
from paytrain.exchange.wires.residuals import residuals_of
from tests.simulation.ranks import Inputs, Rank, Setup

ITEM_BYTES = {"s3": 0, "dynamodb": 1024, "memcached": 2048}
CHANNEL = pytest.mark.parametrize("channel", ITEM_BYTES)
PATTERN = pytest.mark.parametrize("pattern", PATTERNS)


def simulated(
    pattern: str, channel: str, *, workers: int, vector_bytes: int, rounds: int, tuning: Tuning | None = None
) -> Simulated:
    item_bytes = {"s3": 0, "dynamodb": 16 * 1024, "memcached": 8 * 2**20}[channel]
    return simulate_pattern(
        pattern,
        partial(open_channel, channel=channel, item_bytes=item_bytes),
        profile=built_in(),
        workers=workers,
        elements=vector_bytes // 4,
        tuning=tuning or tune(channel, pattern, workers=workers, vector_bytes=vector_bytes),
        rounds=rounds,
        seed=1,
        in_vpc=channel == "memcached",
    )


@CHANNEL
@PATTERN
@pytest.mark.parametrize("world_size", [1, 2, 5, 9])
def test_the_sums_are_those_of_any_schedule(pattern: str, channel: str, world_size: int) -> None:
    for elements in (0, 1, world_size + 1, 1000):
        # Given ranks with real numbers, in a world that knows time
        inputs = Inputs(world_size, elements, seed=2)
        world = World(built_in(), workers=world_size, seed=3)
        ranks = [Rank(number, Setup(inputs, PATTERNS[pattern], segments=2)) for number in range(world_size)]

        def patterns_of(rank: int, ranks: list[Rank] = ranks) -> Callable[[int], list[Steps]]:
            def patterns(round_: int) -> list[Steps]:
                return [noted(ranks[rank], *each) for each in enumerate(ranks[rank].begin_round())]

            return patterns

        # When they exchange until their last round
        opened = open_channel(world, channel, item_bytes=ITEM_BYTES[channel])
        run_ranks(world, opened, patterns_of, tuning=Tuning(segments=2, window=2), rounds=inputs.last_round + 1)
        # Then all have the sums, metrics and votes of every round
        assert [rank.results for rank in ranks] == [inputs.results(PATTERNS[pattern])] * world_size


def noted(rank: Rank, segment: int, steps: Steps) -> Steps:
    """A pattern whose result its rank notes."""
    tally = yield from steps
    rank.end_segment(segment, tally)
    return tally


@PATTERN
@pytest.mark.parametrize("wire", WIRES)
def test_a_world_without_numbers_asks_for_the_same_bytes(pattern: str, wire: str) -> None:
    # Given one exchange with numbers and one with sizes only
    world_size, elements, tuning = 5, 1000, Tuning(segments=1, window=2)
    inputs = Inputs(world_size, elements, 1, wire)
    world = World(built_in(), workers=world_size, seed=1)

    def patterns_of(rank: int) -> Callable[[int], list[Steps]]:
        def patterns(round_: int) -> list[Steps]:
            values, tally = inputs.of(rank, 0)
            residuals = residuals_of(wire)
            out = values.copy()
            member = Member(rank, world_size, 0, "run/0/0", values, out, tally, inputs.wire, residuals=residuals)
            return [PATTERNS[pattern](member)]

        return patterns

    # When both have run
    run_ranks(world, open_channel(world, "s3", item_bytes=0), patterns_of, tuning=tuning, rounds=1)
    phantom = simulate_pattern(
        pattern,
        partial(open_channel, channel="s3", item_bytes=0),
        profile=built_in(),
        workers=world_size,
        elements=elements,
        tuning=tuning,
        rounds=1,
        seed=1,
        wire=wire,
        metrics=2,
    )
    # Then requests and bytes are equal
    counts = {name: sum(usage.snapshot().get(name, 0) for usage in world.usage) for name in phantom.usage}
    assert counts == phantom.usage


def test_few_questions_are_asked_in_vain() -> None:
    # Given sixteen workers that exchange vectors of several sizes over S3
    for vector_bytes, pattern in (
        (4_000, "all_gather"),
        (12_000_000, "scatter_reduce"),
        (89_000_000, "scatter_reduce"),
    ):
        # When they have done so for some rounds
        usage = simulated(pattern, "s3", workers=16, vector_bytes=vector_bytes, rounds=25).usage
        # Then each object has cost at most 1.3 requests
        assert (usage["s3_get"] + usage["s3_get_missing"]) / usage["s3_get"] <= 1.3


def test_large_vectors_move_at_the_speed_of_the_link() -> None:
    # Given sixteen workers with 89 MB each
    world_size, vector_bytes = 16, 89_000_000
    # When they exchange them over S3
    seconds = simulated("scatter_reduce", "s3", workers=world_size, vector_bytes=vector_bytes, rounds=6).seconds
    # Then no round takes less than the bytes that a function must receive, nor a quarter more than these and two hops
    service, network = built_in().services["s3"], built_in().network
    bytes_down = 2 * vector_bytes * (world_size - 1) / world_size
    transfer = bytes_down / network.function
    hops = 2 * (service.put.at(0.5) + service.get.at(0.5))
    assert transfer < min(seconds)
    assert sorted(seconds)[len(seconds) // 2] <= 1.25 * (transfer + hops)


def test_a_large_world_pays_fewer_requests_in_groups() -> None:
    # Given 64 workers, when they exchange flat and in groups
    flat = simulated("scatter_reduce", "s3", workers=64, vector_bytes=1_000_000, rounds=1).usage
    grouped = simulated("hierarchical", "s3", workers=64, vector_bytes=1_000_000, rounds=1).usage
    # Then groups need 4·(√W − 1) reads per worker instead of 2·(W − 1), and a few slow ones twice
    assert 64 * 2 * 63 <= flat["s3_get"] < 1.05 * 64 * 2 * 63
    assert 64 * 4 * 7 <= grouped["s3_get"] < 1.05 * 64 * 4 * 7


def test_the_same_seed_is_the_same_world() -> None:
    # Given one simulation, when it is run again, then nothing differs
    once, again = (simulated("scatter_reduce", "s3", workers=4, vector_bytes=10_000, rounds=3) for _ in range(2))
    assert once == again
