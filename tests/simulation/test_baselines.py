"""The re-created exchanges of the peers: right sums in virtual time, and the speed that theirs have shown."""

import math
from itertools import product
from typing import Any

import numpy as np
import pytest

from bench.baselines.algorithms import ALGORITHMS, CHANNELS, cannot_work
from bench.baselines.hollow import Hollow
from bench.baselines.simulated import NODE_TYPE, simulate, simulate_vectors
from paytrain.exchange.simulator.profile import Latency, Network, Profile, Service, built_in
from paytrain.exchange.simulator.world import World

CASES = [
    (algorithm, channel, workers, elements)
    for algorithm, channel in product(ALGORITHMS, CHANNELS)
    for workers, elements in product([1, 2, 4, 7], [0, 1, 3, 1001, 20_011, 250_000])
    if cannot_work(algorithm, channel, workers, 4 * elements, NODE_TYPE) is None
]


@pytest.mark.parametrize(("algorithm", "channel", "workers", "elements"), CASES)
def test_everybody_has_the_exact_mean(algorithm: str, channel: str, workers: int, elements: int) -> None:
    # Given whole numbers, whose sums are the same in any order
    random = np.random.default_rng(elements)
    vectors = [random.integers(-1000, 1000, elements).astype(np.float32) for _ in range(workers)]
    # When they are exchanged three times
    world = World(built_in(), workers=workers, seed=1)
    outcome = simulate_vectors(algorithm, channel, vectors, world=world, rounds=3)
    # Then everybody has the mean to the last bit
    expected = np.sum(vectors, axis=0, dtype=np.float32) / np.float32(workers)
    for mean in outcome.means:
        assert mean.dtype == np.float32
        np.testing.assert_array_equal(mean, expected)


@pytest.mark.parametrize(("algorithm", "channel", "workers", "elements"), CASES)
def test_sizes_alone_take_the_same_time_and_requests(algorithm: str, channel: str, workers: int, elements: int) -> None:
    # When vectors of numbers are exchanged, and vectors of which only the length is known
    solid, hollow = (
        simulate_vectors(
            algorithm, channel, [vector] * workers, world=World(built_in(), workers=workers, seed=3), rounds=2
        )
        for vector in (np.ones(elements, np.float32), Hollow(elements))
    )
    # Then nothing differs but the numbers
    assert solid.seconds == hollow.seconds
    assert solid.usage == hollow.usage
    assert [len(mean) for mean in hollow.means] == [elements] * workers


@pytest.mark.parametrize(
    ("algorithm", "per_round"),
    [
        ("lambdaml_allreduce", {"s3_put": 16 + 1, "s3_get": 16 + 16}),
        ("lambdaml_scatter_reduce", {"s3_put": 16 * 16, "s3_get": 16 * 2 * 15, "s3_delete": 16 * 15}),
        ("funcpipe", {"s3_put": 16 * 16, "s3_get": 16 * 2 * 15}),
    ],
)
def test_requests_on_s3_are_those_of_the_originals(algorithm: str, per_round: dict[str, int]) -> None:
    # When 16 workers exchange a megabyte, twice
    outcome = simulate(algorithm, "s3", workers=16, size_bytes=10**6, profile=built_in(), rounds=2)
    # Then what is not waiting costs exactly the published requests
    assert {name: outcome.usage[name] for name in per_round} == {name: 2 * each for name, each in per_round.items()}
    assert outcome.usage["s3_list"] >= 2 * 2


def test_a_seed_is_a_schedule() -> None:
    # Given two simulations of one seed and one of another
    first, again, other = (
        simulate("lambdaml_scatter_reduce", "s3", workers=4, size_bytes=10**6, profile=built_in(), seed=seed)
        for seed in (1, 1, 2)
    )
    # Then only the other one differs
    assert first == again
    assert first.seconds != other.seconds


@pytest.mark.parametrize(
    ("algorithm", "channel", "workers", "size_bytes", "reason"),
    [
        ("lambdaml_allreduce", "dynamodb", 4, 10**6, "an item of 1,000,264 bytes; DynamoDB takes 409,600"),
        ("lambdaml_scatter_reduce", "dynamodb", 16, 12 * 10**6, "an item of 750,264 bytes; DynamoDB takes 409,600"),
        (
            "lambdaml_scatter_reduce",
            "dynamodb",
            256,
            12 * 10**6,
            "scans of 8,000 s in one round",
        ),
        (
            "lambdaml_allreduce",
            "memcached",
            16,
            89 * 10**6,
            "1,424,000,000 bytes at once",
        ),
        ("naive_chunked", "dynamodb", 64, 89 * 10**6, "writes of 1,391 s in one round"),
        ("naive_chunked", "dynamodb", 16, 89 * 10**6, None),
        ("naive_chunked", "s3", 4, 4096, "naive_chunked is for items"),
        ("funcpipe", "memcached", 4, 4096, "funcpipe needs LIST by prefix"),
        ("lambdaml_scatter_reduce", "dynamodb", 4, 10**6, None),
        ("lambdaml_allreduce", "s3", 256, 89 * 10**6, None),
    ],
)
def test_what_cannot_work_is_left_out_with_a_reason(
    algorithm: str, channel: str, workers: int, size_bytes: int, reason: str | None
) -> None:
    said = cannot_work(algorithm, channel, workers, size_bytes, "cache.t4g.micro")
    assert (said is None) if reason is None else (said is not None and said.startswith(reason))


REFERENCE_SECONDS = {
    ("lambdaml_allreduce", 12, 4): 1.7,
    ("lambdaml_scatter_reduce", 12, 4): 1.0,
    ("lambdaml_allreduce", 12, 16): 4.1,
    ("lambdaml_scatter_reduce", 12, 16): 2.4,
    ("lambdaml_allreduce", 89, 4): 10.6,
    ("lambdaml_scatter_reduce", 89, 4): 4.3,
    ("lambdaml_allreduce", 89, 16): 29.1,
    ("lambdaml_scatter_reduce", 89, 16): 8.5,
}
"""(algorithm, megabytes, workers) → a round of the slowest worker with LambdaML's own code on a simulated S3."""

REFERENCE_CORES = 2
"""Of the machine whose cores the reference's workers shared.

Not told with the figures but found by them: with two, all eight agree within 8 %; with a core for each worker, seven
within 11 %, and ScatterReduce of 89 MB by 16 workers takes 5.9 s. docs/baselines.md has a measurement.
"""


class OneMachine(World):
    """Workers that are processes of one machine: computing takes one of its cores, in turn."""

    def __init__(self, profile: Profile, **settings: Any) -> None:
        super().__init__(profile, **settings)
        self._free_at = [0.0] * REFERENCE_CORES

    def cpu(self, rank: int, seconds: float) -> float:
        """When the core that is free first has done it."""
        core = self._free_at.index(min(self._free_at))
        self._free_at[core] = max(self._free_at[core], self.clock.now) + seconds
        return self._free_at[core]


@pytest.mark.parametrize(("algorithm", "megabytes", "workers"), REFERENCE_SECONDS)
def test_as_fast_as_the_originals(algorithm: str, megabytes: int, workers: int) -> None:
    # Given the reference's simulated S3: constant latencies, 65 MB/s per request, no other limit
    s3 = Service(
        put=Latency.constant(40),
        get=Latency.constant(20),
        list=Latency.constant(30),
        delete=Latency.constant(20),
        put_stream=65e6,
        get_stream=65e6,
    )
    profile = Profile(
        network=Network(math.inf, 0.0, math.inf, math.inf),
        services={"s3": s3},
        s3_puts_per_second=math.inf,
        s3_gets_per_second=math.inf,
        s3_partitions=1,
        dynamodb_partitions=1,
        dynamodb_write_units=math.inf,
        dynamodb_read_units=math.inf,
        node_base={},
        worker_start=0.0,
    )
    # When the re-creation exchanges vectors of that size
    vectors = [Hollow(megabytes * 10**6 // 4)] * workers
    world = OneMachine(profile, workers=workers, seed=0)
    outcome = simulate_vectors(algorithm, "s3", vectors, world=world, rounds=3)
    # Then it takes the reference's time
    assert outcome.seconds[-1] == pytest.approx(REFERENCE_SECONDS[algorithm, megabytes, workers], rel=0.15)
