"""The exchange against the peers' algorithms under the service profile, in virtual time: a row per case."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

from bench import cost
from bench.baselines.simulated import simulate
from bench.cases import FUNCTION_SECONDS, Case, floor_of
from paytrain.exchange.simulator.profile import built_in
from paytrain.exchange.simulator.simulate import open_channel, simulate_pattern
from paytrain.exchange.tuning import tune

SEED = 1
_ROUNDS_OF = {4: 25, 16: 11, 64: 4, 256: 2}
"""By workers: a round of a large world has so many requests that its time hardly varies, and takes long to simulate."""


def rows(cases: Sequence[Case]) -> Iterator[dict[str, Any]]:
    """Run cases on all cores; one row each, in their order."""
    with ProcessPoolExecutor() as pool:
        # The longest first, so that no core is left with one at the end.
        order = sorted(range(len(cases)), key=lambda index: -cases[index].workers)
        running = {index: pool.submit(run, cases[index]) for index in order}
        for index in range(len(cases)):
            yield running[index].result()


def run(case: Case) -> dict[str, Any]:
    """Simulate rounds in the steady state, in which all bursts are spent."""
    rounds = _ROUNDS_OF[case.workers]
    simulated = _peers if case.is_peer else _ours
    seconds, usage = simulated(case, rounds)
    # Ours learns in the first round what reads take, and peers find nothing yet to delete.
    return row("simulated", case, seconds[1:], {name: amount / rounds for name, amount in usage.items()})


def row(source: str, case: Case, seconds: Sequence[float], usage: Mapping[str, float]) -> dict[str, Any]:
    """A line of exchange.json.

    Parameters
    ----------
    seconds
        Of several rounds.
    usage
        Of one round, all workers together.
    """
    median = statistics.median(seconds)
    priced = cost.cost(usage, workers=case.workers, seconds=median, node_type=case.node_type)
    return {
        "source": source,
        "channel": case.channel,
        "algorithm": case.algorithm,
        "wire": case.wire,
        "bytes": case.bytes,
        "workers": case.workers,
        "seconds_median": median,
        "seconds_p95": sorted(seconds)[int(0.95 * len(seconds))],
        "floor_seconds": floor_of(case),
        "requests": cost.requests(usage),
        "usd": priced.total,
        "usd_requests": priced.requests,
        "node_type": case.node_type,
        "rounds": len(seconds),
    }


def too_slow(found: Mapping[str, Any]) -> str | None:
    """Why a simulated case cannot work after all."""
    if found["seconds_median"] > FUNCTION_SECONDS:
        return f"a round takes {found['seconds_median']:,.0f} s; a function ends after {FUNCTION_SECONDS}"
    return None


def _ours(case: Case, rounds: int) -> tuple[list[float], dict[str, float]]:
    outcome = simulate_pattern(
        case.algorithm,
        partial(open_channel, channel=case.channel, item_bytes=case.item_bytes, node_type=case.node_type),
        profile=built_in(),
        workers=case.workers,
        elements=case.elements,
        tuning=tune(case.channel, case.algorithm, workers=case.workers, vector_bytes=case.wire_bytes),
        rounds=rounds,
        seed=SEED,
        wire=case.wire,
        in_vpc=case.in_vpc,
    )
    return outcome.seconds, outcome.usage


def _peers(case: Case, rounds: int) -> tuple[list[float], dict[str, float]]:
    outcome = simulate(
        case.algorithm,
        case.channel,
        workers=case.workers,
        size_bytes=case.bytes,
        profile=built_in(),
        seed=SEED,
        rounds=rounds,
        node_type=case.node_type,
    )
    return outcome.seconds, outcome.usage
