"""Simulated rounds for the planner to be held against: ``python -m bench.rounds`` writes tests/simulation/rounds.json.

Steady state: every function has spent its burst, and the first round, in which reads learn what is usual, is left out.
"""

import json
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from paytrain.exchange.simulator.profile import built_in
from paytrain.exchange.simulator.simulate import open_channel, simulate_pattern
from paytrain.planner import limits, requests
from paytrain.planner.exchange import Exchange

RESULT = Path(__file__).parents[1] / "tests/simulation/rounds.json"
PLACES = (("s3", ""), ("dynamodb", ""), ("memcached", "cache.m7g.large"), ("memcached", "cache.c7gn.xlarge"))
PATTERNS = ("all_gather", "scatter_reduce", "hierarchical", "leader")
BYTES = (4_000, 32_000, 256_000, 1_000_000, 4_000_000, 12_000_000, 48_000_000, 100_000_000, 400_000_000)
WIRES = ("float32", "bfloat16", "int8", "topk")
ROUNDS_OF = {2: 60, 4: 40, 8: 24, 16: 14, 32: 9, 64: 4, 128: 3, 256: 2, 512: 2}
"""By workers: the more there are, the less do rounds differ, and the longer do they take to simulate."""
_CASES_OF = {2: 10, 4: 10, 8: 10, 16: 10, 32: 10, 64: 10, 128: 8, 256: 6, 512: 4}
_MORE_CASES_OF = {2: 4, 4: 4, 8: 5, 16: 5, 32: 4}
"""Of every channel."""
_MOST_REQUESTS = 100_000
_MOST_REQUESTS_OF_ALL_ROUNDS = 50_000
"""Larger cases would take minutes each."""
_LAP_SECONDS = 900
_SEED = 1


def cases() -> list[Exchange]:
    """At random, but always the same: as many of every channel and number of workers as is said above."""
    chosen: list[Exchange] = []
    draw = random.Random(_SEED)
    for numbers in (_CASES_OF, _MORE_CASES_OF):
        for place, workers in product(PLACES, numbers):
            possible = [case for case in _every(*place, workers) if _is_possible(case)]
            # The reference pattern is of little use to anybody.
            possible = [case for case in possible if case.pattern != "leader" or draw.random() < 1 / 3]
            chosen += draw.sample(possible, min(numbers[workers], len(possible)))
    return [case for case in dict.fromkeys(chosen) if _requests(case) < _MOST_REQUESTS_OF_ALL_ROUNDS]


def _every(channel: str, node_type: str, workers: int) -> list[Exchange]:
    return [
        Exchange(channel, pattern, workers, size // 4, wire, node_type, int(channel == "memcached"))
        for pattern, size, wire in product(PATTERNS, BYTES, WIRES)
    ]


def simulate(case: Exchange, *, seed: int = 1) -> dict[str, Any]:
    """Rounds of a case: the mean of their seconds, and what one of them has used."""
    rounds = ROUNDS_OF[case.workers]
    outcome = simulate_pattern(
        case.pattern,
        partial(
            open_channel,
            channel=case.channel,
            item_bytes=case.item_bytes,
            node_type=case.node_type or "cache.m7g.large",
        ),
        profile=built_in(),
        workers=case.workers,
        elements=case.elements,
        tuning=case.tuning,
        rounds=rounds,
        seed=seed,
        wire=case.wire,
        metrics=case.metrics,
        in_vpc=case.channel == "memcached",
    )
    counted = outcome.seconds[1:]
    usage = {name: amount / rounds for name, amount in outcome.usage.items() if "delete" not in name}
    return {**asdict(case), "seconds": sum(counted) / len(counted), "usage": usage}


def rows() -> Iterator[dict[str, Any]]:
    """All cases, the longest begun first."""
    with ProcessPoolExecutor(2) as pool:
        running = [pool.submit(simulate, case) for case in sorted(cases(), key=_requests, reverse=True)]
        for number, future in enumerate(as_completed(running)):
            row = future.result()
            print(f"{number + 1}/{len(running)}", row["channel"], row["pattern"], row["workers"], flush=True)
            yield row


def main() -> None:
    """Write the reference, a case a line."""
    found = sorted(rows(), key=lambda row: json.dumps(row))
    RESULT.write_text("[\n" + ",\n".join(json.dumps(row) for row in found) + "\n]\n")


def _requests(case: Exchange) -> float:
    counts = requests.of_round(case.channel, case.segments, case.item_bytes)
    return ROUNDS_OF[case.workers] * sum(
        count for name, count in counts.items() if not name.startswith("bytes") and "units" not in name
    )


def _is_possible(case: Exchange) -> bool:
    """Whether it fits a cache and a lap, and can be simulated in a minute."""
    counts = requests.of_round(case.channel, case.segments, case.item_bytes)
    if case.channel == "memcached":
        held_mb = limits.cache_node_mb(case.node_type)
        if 2 * case.workers * case.vector_bytes > held_mb * 2**20:
            return False
        slowest = counts["bytes_down"] / built_in().node_base[case.node_type]
    elif case.channel == "dynamodb":
        slowest = counts["dynamodb_write_units"] / 4000 + counts["dynamodb_read_units"] / 12000
    else:
        slowest = counts["bytes_down"] / case.workers / 75e6
    if case.pattern == "leader":
        slowest = max(slowest, case.workers * case.vector_bytes / 75e6)
    return slowest < _LAP_SECONDS / 2 and _requests(case) < _MOST_REQUESTS * ROUNDS_OF[case.workers]


if __name__ == "__main__":
    main()
