"""The planner's rounds are the simulator's: times within 10 % in the median and 25 % at p95, bills within 5 %."""

import json
import random
import statistics
from collections import Counter
from dataclasses import fields
from typing import Any

import pytest

from bench.rounds import RESULT, cases, simulate
from paytrain.exchange.simulator.profile import built_in
from paytrain.planner import round_cost
from paytrain.planner.exchange import Exchange
from paytrain.planner.round_time import RoundTimes

ROWS: list[dict[str, Any]] = json.loads(RESULT.read_text())


def exchange_of(row: dict[str, Any]) -> Exchange:
    return Exchange(**{each.name: row[each.name] for each in fields(Exchange)})


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]


def test_the_reference_covers_what_is_promised() -> None:
    assert len(ROWS) >= 300
    assert {row["workers"] for row in ROWS} == {2, 4, 8, 16, 32, 64, 128, 256, 512}
    assert {row["channel"] for row in ROWS} == {"s3", "dynamodb", "memcached"}
    assert {row["pattern"] for row in ROWS} == {"all_gather", "scatter_reduce", "hierarchical", "leader"}
    assert {row["wire"] for row in ROWS} == {"float32", "bfloat16", "int8", "topk"}
    assert min(row["elements"] for row in ROWS) == 1_000
    assert max(row["elements"] for row in ROWS) == 100_000_000
    assert {exchange_of(row) for row in ROWS} == set(cases())


def test_rounds_take_as_long_as_in_the_simulator() -> None:
    times = RoundTimes(built_in())
    errors = [abs(times.of(exchange_of(row)).seconds / row["seconds"] - 1) for row in ROWS]
    assert statistics.median(errors) <= 0.10
    assert percentile(errors, 0.95) <= 0.25


def test_requests_cost_as_much_as_in_the_simulator() -> None:
    times = RoundTimes(built_in())
    errors = []
    for row in ROWS:
        actual = round_cost.usd(Counter(row["usage"]))
        if actual:
            exchange = exchange_of(row)
            expected = round_cost.usd(round_cost.usage(exchange, times.of(exchange).in_vain))
            errors.append(abs(expected / actual - 1))
    assert statistics.median(errors) <= 0.05
    assert percentile(errors, 0.95) <= 0.05


@pytest.mark.parametrize("row", random.Random(5).sample([row for row in ROWS if row["workers"] <= 16], 6))
def test_the_reference_is_what_the_simulator_says_today(row: dict[str, Any]) -> None:
    """When this fails, something of the exchange has changed: ``python -m bench.rounds`` writes a new reference."""
    again = simulate(exchange_of(row))
    assert again["seconds"] == pytest.approx(row["seconds"], rel=1e-9)
    assert again["usage"] == row["usage"]
