"""Simulating an exchange: rounds of a pattern in a world of workers, their times and what they used."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from paytrain.exchange.frame import Tally
from paytrain.exchange.operations import Steps
from paytrain.exchange.patterns import PATTERNS
from paytrain.exchange.segments import even_slices
from paytrain.exchange.simulator.channels import (
    SimulatedChannel,
    SimulatedDynamoDB,
    SimulatedMemcached,
    SimulatedS3,
)
from paytrain.exchange.simulator.phantom import PhantomMember
from paytrain.exchange.simulator.profile import Profile
from paytrain.exchange.simulator.rank import SimulatedRank
from paytrain.exchange.simulator.world import World, total_usage
from paytrain.exchange.tuning import Tuning
from paytrain.exchange.wires import WIRES

_RUN = "00000000-0000-0000-0000-000000000000"
"""As long as the name that Step Functions gives to an execution: DynamoDB's units count an item's key."""


@dataclass(frozen=True)
class Simulated:
    """What a simulation has shown.

    Attributes
    ----------
    seconds
        Of each round: from the end of the one before to the end of its slowest worker.
    usage
        Counts of all workers and rounds together, by the names of :class:`paytrain.channels.base.Usage`.
    """

    seconds: list[float]
    usage: dict[str, float]


def open_channel(
    world: World, channel: str, *, item_bytes: int, node_type: str = "cache.m7g.large", nodes: int = 1
) -> SimulatedChannel:
    """A channel of a simulated world."""
    if channel == "memcached":
        return SimulatedMemcached(world, item_bytes=item_bytes, node_type=node_type, nodes=nodes)
    if channel == "dynamodb":
        return SimulatedDynamoDB(world, item_bytes=item_bytes)
    return SimulatedS3(world, directory=channel == "s3express")


def run_ranks(
    world: World,
    channel: SimulatedChannel,
    patterns_of: Callable[[int], Callable[[int], list[Steps]]],
    *,
    tuning: Tuning,
    rounds: int,
    compute_seconds: float = 0.0,
) -> list[SimulatedRank]:
    """Let all workers of a world exchange round after round.

    Parameters
    ----------
    patterns_of
        Rank → round → that round's generators.
    compute_seconds
        Between two rounds of a worker.
    """
    ranks = [
        SimulatedRank(
            world,
            channel,
            rank,
            rounds=rounds,
            patterns=patterns_of(rank),
            tuning=tuning,
            compute_seconds=compute_seconds,
        )
        for rank in range(len(world.usage))
    ]
    for rank in ranks:
        rank.begin()
    world.clock.run()
    return ranks


def simulate_pattern(
    pattern: str,
    channel: Callable[[World], SimulatedChannel],
    *,
    profile: Profile,
    workers: int,
    elements: int,
    tuning: Tuning,
    rounds: int,
    seed: int,
    wire: str = "float32",
    metrics: int = 3,
    in_vpc: bool = False,
) -> Simulated:
    """Simulate rounds of a pattern by sizes alone.

    Parameters
    ----------
    elements
        Length of the vector.
    tuning
        Segments, and how many calls are made at once.
    wire
        How the vector travels.
    metrics
        Sums of loss and metrics that travel in every frame.
    """
    world = World(profile, workers=workers, seed=seed, in_vpc=in_vpc)
    travels = WIRES[wire]
    nothing = np.broadcast_to(travels.dtype.type(0), elements)
    tally = Tally(0, 0, np.zeros(metrics))
    parts = even_slices(elements, tuning.segments)

    def patterns_of(rank: int) -> Callable[[int], list[Steps]]:
        def phantom(round_: int, segment: int) -> PhantomMember:
            values, prefix = nothing[parts[segment]], f"{_RUN}/0/0/{round_}/{segment}"
            return PhantomMember(
                rank, workers, round_, prefix, values, values, tally, travels, segment, window=tuning.window
            )

        return lambda round_: [PATTERNS[pattern](phantom(round_, segment)) for segment in range(len(parts))]

    ranks = run_ranks(world, channel(world), patterns_of, tuning=tuning, rounds=rounds)
    ends = [max(rank.ends[round_] for rank in ranks) for round_ in range(rounds)]
    return Simulated([end - before for before, end in pairwise([0.0, *ends])], total_usage(world.usage))
