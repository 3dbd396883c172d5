"""The exchange against the peers' algorithms on real servers of this machine, by four worker processes each.

Once with nothing between, where processors are the limit, and once through proxies that add the latency and the
bandwidth of the service profile. Algorithms take turns, since such a machine's speed drifts.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import product
from typing import Any
from uuid import uuid4

from bench import servers
from bench.baselines.algorithms import ALGORITHMS, cannot_work
from bench.cases import MEMCACHED_ITEM_BYTES, SIZES, Case, floor_of
from bench.contender import Gang, Place
from bench.proxy import proxy
from bench.simulated import row
from paytrain.exchange.simulator.profile import built_in

WORKERS = 4
_CHANNELS = ("s3", "memcached", "dynamodb")
"""Those with a server here: the emulator has no directory buckets."""
OURS = "scatter_reduce"
_SIZES = {False: ("1 MB", "12 MB", "89 MB"), True: ("12 MB", "89 MB")}
"""Without and with the profile's network."""
_TURNS = {"1 MB": 7, "12 MB": 5, "89 MB": 3}

_OUR_ITEM_MB, _PEERS_ITEM_MB = MEMCACHED_ITEM_BYTES >> 20, 128
"""The peers send a vector as one item; the default limit is 1 MiB."""
_CACHE_MB = 2048

_PROXY = replace(
    built_in(),
    s3_puts_per_second=math.inf,
    s3_gets_per_second=math.inf,
    dynamodb_write_units=math.inf,
    dynamodb_read_units=math.inf,
)
"""What the proxies add: a function's network, none of the services' own limits."""


def rows(channels: Sequence[str] = _CHANNELS) -> Iterator[dict[str, Any]]:
    """Measure every case; one row each."""
    for channel, shaped in product(channels, (False, True)):
        for name in _SIZES[shaped]:
            cases = _cases(channel, SIZES[name])
            yield from _compare(cases, shaped=shaped, turns=_TURNS[name])


def _cases(channel: str, size: int) -> list[Case]:
    algorithms = [OURS, *(each for each in ALGORITHMS if not cannot_work(each, channel, WORKERS, size, ""))]
    return [Case(channel, algorithm, "float32", size, WORKERS) for algorithm in algorithms]


def _compare(cases: Sequence[Case], *, shaped: bool, turns: int) -> Iterator[dict[str, Any]]:
    seconds: dict[Case, list[float]] = {case: [] for case in cases}
    usage: dict[Case, dict[str, float]] = {}
    with ExitStack() as running:
        gangs = {case: running.enter_context(_gang(case, shaped)) for case in cases}
        for gang in gangs.values():
            gang.round()  # The first opens connections.
        for _ in range(turns):
            for case, gang in gangs.items():
                took, usage[case] = gang.round()
                seconds[case].append(took)
    for case in cases:
        # What the machine's time would cost means nothing: the dollars are those of the requests.
        found = row("measured", case, seconds[case], usage[case])
        yield found | {
            "floor_seconds": floor_of(case, _PROXY) if shaped else None,
            "usd": found["usd_requests"],
            "network": "profile" if shaped else "loopback",
        }


@contextmanager
def _gang(case: Case, shaped: bool) -> Iterator[Gang]:
    with ExitStack() as stack:
        if case.channel == "memcached":
            server = servers.memcached(_PEERS_ITEM_MB if case.is_peer else _OUR_ITEM_MB, _CACHE_MB)
        else:
            server = servers.emulator()
        endpoint = stack.enter_context(server)
        endpoints = [
            stack.enter_context(proxy(case.channel, endpoint, rank)) if shaped else endpoint
            for rank in range(case.workers)
        ]
        yield stack.enter_context(Gang(case, Place(endpoints, f"bench-{uuid4().hex[:8]}")))
