"""What a run used and cost."""

from datetime import UTC, datetime
from typing import Any

import pytest

from paytrain import receipt
from paytrain.planner import prices
from paytrain.run import Checkpoint, Outcome
from tests.unit.plans import plan

STARTED = "2026-11-24T10:00:00.500+00:00"
ENDED = datetime(2026, 11, 24, 10, 2, 0, tzinfo=UTC)


def outcome(lap: int, attempt: int, rank: int, **fields: Any) -> Outcome:
    usual: dict[str, Any] = {"status": "stopped", "step": 10, "seconds": {"billed": 10.0, "step": 6.0}}
    return Outcome(lap=lap, attempt=attempt, rank=rank, **{**usual, **fields})


OUTCOMES = [
    outcome(0, 0, 0, usage={"s3_put": 7, "s3_get": 20, "bytes_up": 1e6}),
    outcome(0, 0, 1, usage={"s3_put": 5, "s3_get": 30, "s3_get_missing": 50}),
    # Lap 1 was tried twice: in the first attempt a worker died, which reports nothing.
    outcome(1, 0, 0, status="left", step=0, seconds={"billed": 4.0}),
    outcome(1, 0, 1, status="failed", step=0, seconds={}),
    outcome(1, 1, 0, step=30, usage={"dynamodb_write_units": 1000, "dynamodb_read_units": 400}),
    outcome(1, 1, 1, step=30),
]


def receipt_of(outcomes: list[Outcome] = OUTCOMES, **changes: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "run": {"started": STARTED},
        "outcomes": outcomes,
        "final": Checkpoint(step=30, lap=1, attempt=1),
        "failure": None,
        "weights_sha256": "abc",
        "results": {"loss": 0.1},
        "finish_seconds": 3.0,
        "ended": ENDED,
    }
    return receipt.make(plan(workers=2), **{**usual, **changes})


def line(made: dict[str, Any], item: str) -> dict[str, Any]:
    (found,) = [entry for entry in made["lines"] if entry["item"] == item]
    return dict(found)


@pytest.fixture(autouse=True)
def _on_x86(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")


def test_the_contract_of_the_receipt() -> None:
    made = receipt_of()
    assert made["lines"]
    assert {key: made[key] for key in ("run_id", "status", "error", "weights_sha256", "laps", "attempts", "steps")} == {
        "run_id": "run", "status": "succeeded", "error": None, "weights_sha256": "abc", "laps": 2, "attempts": 3,
        "steps": 30}  # fmt: skip
    assert {key: made[key] for key in ("workers", "channel", "pattern", "wire", "seconds")} == {
        "workers": 2, "channel": "memcached", "pattern": "all_gather", "wire": "float32", "seconds": 119.5}  # fmt: skip


@pytest.mark.parametrize(
    ("item", "quantity", "unit", "price"),
    [
        # At 2 GB: four workers for 10 s, one that left after 4 s; the dead one has reported nothing.
        ("workers", 2 * (4 * 10 + 4), "GB-s", 1.66667e-5),
        ("prepare and finish", 2 * (6 + 3), "GB-s", 1.66667e-5),
        # 6 workers, 3 × CloseLap, Resolve, Prepare, Plan, Finish.
        ("invocations", 6 + 3 + 4, "requests", 2e-7),
        # 6 of the run; for each of 3 attempts 3, and 2 for each of 2 workers.
        ("state transitions", 6 + 3 * (3 + 2 * 2), "transitions", 2.5e-5),
        ("exchange, S3 PUT", 12, "requests", 5e-6),
        # A GET that finds nothing costs as much.
        ("exchange, S3 GET", 100, "requests", 4e-7),
        ("exchange, DynamoDB writes", 1000, "units", 6.25e-7),
        ("exchange, DynamoDB reads", 400, "units", 1.25e-7),
    ],
)
def test_a_line_of_the_bill(item: str, quantity: float, unit: str, price: float) -> None:
    found = line(receipt_of(), item)
    assert (found["quantity"], found["unit"]) == (quantity, unit)
    assert found["price"] == pytest.approx(price)
    assert found["usd"] == pytest.approx(quantity * price)


def test_the_total_is_the_sum_of_the_lines() -> None:
    made = receipt_of()
    assert made["usd"] == pytest.approx(sum(entry["usd"] for entry in made["lines"]))
    assert made["usd"] == pytest.approx(88 * 1.66667e-5 + 18 * 1.66667e-5 + 13 * 2e-7 + 27 * 2.5e-5
                                        + 12 * 5e-6 + 100 * 4e-7 + 1000 * 6.25e-7 + 400 * 1.25e-7)  # fmt: skip


def test_what_was_not_used_is_not_on_the_bill() -> None:
    # Given a run over Memcached, whose requests cost nothing
    made = receipt_of([outcome(0, 0, rank, usage={"memcached_get": 100}) for rank in range(2)])
    assert [entry["item"] for entry in made["lines"]] == [
        "workers", "prepare and finish", "invocations", "state transitions"]  # fmt: skip


def test_arm_is_billed_as_arm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert line(receipt_of(), "workers")["price"] == prices.lambda_usd_per_gb_second("arm64")
    assert prices.lambda_usd_per_gb_second("arm64") < prices.lambda_usd_per_gb_second("x86_64")


def test_seconds_of_the_phases_are_those_of_all_workers() -> None:
    assert receipt_of()["worker_seconds"] == {"billed": 44.0, "step": 24.0}


@pytest.mark.parametrize(
    ("step", "failure", "status", "stopped_by"),
    [
        (30, None, "succeeded", "last_step"),
        (20, None, "succeeded", "early_stopping"),
        (20, {"error": "WorkerLost", "cause": "rank 1 ended without an outcome."}, "failed", "failure"),
        (30, {"error": "WorkerLost", "cause": "rank 1 ended without an outcome."}, "failed", "failure"),
        (20, {"error": "RunStopped", "cause": "The run was stopped from outside."}, "failed", "asked"),
    ],
)
def test_why_a_run_ended(step: int, failure: dict[str, str] | None, status: str, stopped_by: str) -> None:
    made = receipt_of(final=Checkpoint(step=step, lap=1, attempt=1), failure=failure)
    assert (made["status"], made["stopped_by"], made["error"]) == (status, stopped_by, failure)


def test_prices_have_a_date_and_a_region() -> None:
    assert receipt_of()["prices_as_of"] == "2026-11-24, us-east-1"
