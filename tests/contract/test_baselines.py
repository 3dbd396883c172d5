"""The re-created exchanges of the peers, on the emulator and a real memcached: everybody has the right mean."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.baselines import real
from bench.baselines.algorithms import ALGORITHMS, CHANNELS, cannot_work
from bench.baselines.operations import Task
from bench.baselines.simulated import NODE_TYPE

WORKERS = 3
CASES = [
    (algorithm, channel, elements)
    for algorithm, channel, elements in product(ALGORITHMS, CHANNELS, [2, 1001, 90_000, 250_000])
    if cannot_work(algorithm, channel, WORKERS, 4 * elements, NODE_TYPE) is None
]


@pytest.mark.parametrize(("algorithm", "channel", "elements"), CASES)
def test_everybody_has_the_exact_mean(aws: None, cache: str, algorithm: str, channel: str, elements: int) -> None:
    # Given whole numbers, whose sums are the same in any order, and a client for each rank
    name = f"baselines-{uuid.uuid4().hex[:8]}"
    real.create(channel, name)
    clients = [real.open_channel(channel, name, cache) for _ in range(WORKERS)]
    random = np.random.default_rng(elements)
    vectors = [random.integers(-1000, 1000, elements).astype(np.float32) for _ in range(WORKERS)]
    expected = np.sum(vectors, axis=0, dtype=np.float32) / np.float32(WORKERS)

    def rank_means(rank: int) -> list[NDArray[Any]]:
        tasks = [Task(channel, rank, WORKERS, vectors[rank], step) for step in range(2)]
        return [real.exchange(algorithm, clients[rank], task) for task in tasks]

    # When the ranks exchange them twice
    with ThreadPoolExecutor(WORKERS) as ranks:
        means = list(ranks.map(rank_means, range(WORKERS)))
    # Then everybody has the mean to the last bit, both times
    for mean in (mean for of_rank in means for mean in of_rank):
        np.testing.assert_array_equal(mean, expected)


def test_a_value_that_memcached_refuses_is_told(cache: str) -> None:
    # Given a memcached whose items hold 1 MiB
    perform = real.open_channel("memcached", "refused", cache)
    # When a rank sends more, then it does not wait for it for ever
    with pytest.raises(Exception, match="too large"):
        real.exchange("lambdaml_allreduce", perform, Task("memcached", 0, 1, np.zeros(2**19, np.float32)))
