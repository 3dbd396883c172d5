"""The measured benchmark: gangs of processes have the exact sum, with the profile's network between and without."""

from contextlib import ExitStack

import pytest

from bench import servers
from bench.cases import Case
from bench.contender import Gang, Place
from bench.proxy import proxy

WORKERS = 2


@pytest.mark.parametrize("shaped", [False, True])
@pytest.mark.parametrize("algorithm", ["scatter_reduce", "lambdaml_scatter_reduce"])
def test_a_gang_exchanges_and_counts(algorithm: str, shaped: bool) -> None:
    case = Case("memcached", algorithm, "float32", 100_000, WORKERS)
    with ExitStack() as running:
        # Given workers, each with a proxy of its own or none
        endpoint = running.enter_context(servers.memcached(item_mb=8, memory_mb=64))
        endpoints = [
            running.enter_context(proxy("memcached", endpoint, rank)) if shaped else endpoint for rank in range(WORKERS)
        ]
        gang = running.enter_context(Gang(case, Place(endpoints, "bench")))
        # When they exchange twice, then every worker finds the sum that it expects, and requests are counted
        for _ in range(2):
            seconds, usage = gang.round()
            assert seconds > 0
            assert sum(amount for name, amount in usage.items() if name.startswith("memcached")) >= 2 * WORKERS
