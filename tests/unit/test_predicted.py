"""What is expected of a plan stands in plan.json and beside what it did in the receipt."""

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from local import results
from paytrain.control.predicted import facts_of, predict
from paytrain.job import Job
from paytrain.planner.profile import Measured
from tests.unit.plans import plan, prepared


@pytest.mark.parametrize(("channel", "pattern"), [("s3", "scatter_reduce"), ("memcached", "all_gather")])
def test_a_plan_is_predicted_from_what_prepare_measured(channel: str, pattern: str) -> None:
    found = predict(plan(channel=channel, pattern=pattern), 900.0)
    assert found is not None
    for span in (found.seconds, found.usd):
        assert 0 < span["low"] < span["expected"] < span["high"]
    assert found.profile == "AWS's, as compiled on 2026-11-24"
    # And a slower step takes longer
    slower = predict(plan(channel=channel, pattern=pattern, prepared=prepared(step_seconds=1.0)), 900.0)
    assert slower is not None
    assert slower.seconds["expected"] > found.seconds["expected"]


def test_what_was_measured_in_the_account_is_preferred() -> None:
    # Given a calibration that has found S3 much faster than the library assumes
    operation = {"quantiles_ms": dict.fromkeys(("min", "p5", "p25", "p50", "p75", "p90", "p95", "p99"), 0.3)}
    operation |= {"lognormal": {"mu_ln_ms": -1.2, "sigma": 0.0}}
    where = {"date": "2026-11-25", "region": "us-east-1", "memory_mb": 1769, "samples": {"1024": 100}}
    measured = Measured.model_validate(
        {"_meta": {"measured": {"s3_standard": where}}, "s3_standard": {"put": operation, "get": operation}}
    )
    # When a run over S3 is predicted with it and without
    found, assumed = predict(plan(channel="s3"), 900.0, measured), predict(plan(channel="s3"), 900.0)
    # Then it is expected to be faster, and the prediction says why
    assert found is not None
    assert assumed is not None
    assert found.seconds["expected"] < assumed.seconds["expected"]
    assert found.profile == "this account's, as measured on 2026-11-25"


def test_a_cache_of_the_runs_own_is_waited_for_and_paid_by_the_hour() -> None:
    shared, own = predict(plan(), 900.0), predict(plan(cache_mode="per_execution", cache_id="own"), 900.0)
    assert shared is not None
    assert own is not None
    assert own.seconds["expected"] > shared.seconds["expected"] + 240
    assert own.usd["expected"] > shared.usd["expected"] + 0.01


def test_what_has_no_place_in_a_lap_has_no_prediction() -> None:
    assert predict(plan(prepared=prepared(step_seconds=1000.0)), 900.0) is None


def test_the_optimizers_state_is_what_prepare_has_counted() -> None:
    assert facts_of(Job(), prepared(parameters=1000, state_elements=3000)).optimizer_vectors == 2.0


def test_the_result_shows_both() -> None:
    # Given a receipt of a run for which something was predicted
    found = predict(plan(), 900.0)
    assert found is not None
    receipt: dict[str, Any] = {
        **dict.fromkeys(("steps", "laps", "workers"), 3),
        **dict.fromkeys(("channel", "pattern", "wire", "weights_sha256"), "x"),
        "seconds": 60.0,
        "usd": 0.01,
        "evaluation": "complete",
        "predicted": found.model_dump(),
    }
    # When it is shown
    shown = StringIO()
    console = Console(file=shown, width=200)
    results._show_receipt(console, receipt, receipt["steps"])
    # Then both are there
    text = shown.getvalue()
    assert "1 min 00 s" in text
    assert f"predicted for AWS's profile: {results.clock(found.seconds['expected'])}" in text
