"""What a run used and cost."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from paytrain import bill, receipt
from paytrain.planner import prices
from paytrain.run import PHASES, THROTTLED, Checkpoint, Outcome, Spent
from tests.unit.plans import plan

STARTED = datetime(2026, 11, 24, 10, 0, 0, tzinfo=UTC)
T0 = STARTED.timestamp()
ENDED = datetime(2026, 11, 24, 10, 2, 0, tzinfo=UTC)


def spent(function: str, began: float, seconds: float, **fields: Any) -> Spent:
    """A record of an invocation that began so many seconds after the run; 2 GB for a worker, 0.5 for the others."""
    worker = function in ("prepare", "lap", "finish")
    usual: dict[str, Any] = {"architecture": "x86_64", "memory_mb": 2048 if worker else 512, "tmp_mb": 512}
    return Spent(function=function, began=T0 + began, seconds=seconds, **{"init_seconds": 0.0, **usual, **fields})


def outcome(lap: int, attempt: int, rank: int, **fields: Any) -> Outcome:
    usual: dict[str, Any] = {"status": "stopped", "step": 10, "seconds": {"compute": 6.0, "wait": 4.0}}
    return Outcome(lap=lap, attempt=attempt, rank=rank, **{**usual, **fields})


OUTCOMES = [
    outcome(0, 0, 0, peak_memory_mb=700),
    outcome(0, 0, 1, peak_memory_mb=650),
    # Lap 1 was tried twice: in the first attempt a worker was killed, and the other left.
    outcome(1, 0, 0, status="left", step=0, seconds={"compute": 1.0, "wait": 3.0}),
    outcome(1, 0, 1, status="failed", step=0, seconds={}),
    outcome(1, 1, 0, step=30, peak_memory_mb=640),
    outcome(1, 1, 1, step=30),
]
SPENT = [
    spent("resolve", 0, 0.5, init_seconds=1.5),
    spent("prepare", 2, 6),
    spent("plan", 9, 0.5),
    spent("lap", 10, 10, lap=0, attempt=0, rank=0, exchange={"s3_put": 7, "s3_get": 20, "bytes_up": 1e6}),
    spent("lap", 10, 10, lap=0, attempt=0, rank=1, exchange={"s3_put": 5, "s3_get": 30, "s3_get_missing": 50}),
    spent("close_lap", 21, 0.5, lap=0, attempt=0),
    spent("lap", 22, 4, lap=1, attempt=0, rank=0, requests={"s3_get": 2, "s3_put": 1, "s3_list": 1, "s3_head": 3}),
    spent("close_lap", 31.5, 0.5, lap=1, attempt=0),
    spent("lap", 33, 10, lap=1, attempt=1, rank=0, exchange={"dynamodb_write_units": 1000}),
    spent("lap", 33, 10, lap=1, attempt=1, rank=1, exchange={"dynamodb_read_units": 400}),
    spent("close_lap", 44, 0.5, lap=1, attempt=1, requests={"dynamodb_read_units": 3, "dynamodb_write_units": 2}),
    spent("finish", 45, 3),
]


def receipt_of(spent: list[Spent] = SPENT, outcomes: list[Outcome] = OUTCOMES, **changes: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "run": {"started": STARTED.isoformat()},
        "outcomes": outcomes,
        "spent": spent,
        "final": Checkpoint(step=30, lap=1, attempt=1),
        "failure": None,
        "limit": "",
        "weights_sha256": "abc",
        "results": {"loss": 0.1},
        "evaluation": "complete",
        "ended": ENDED,
    }
    of_the_plan = ("channel", "cache_nodes", "cache_mode", "cache_id", "notifies")
    plan_changes = {key: changes.pop(key) for key in of_the_plan if key in changes}
    return receipt.make(plan(workers=2, **plan_changes), **{**usual, **changes})


def lines(made: dict[str, Any], item: str, unit: str) -> list[dict[str, Any]]:
    return [dict(line) for line in made["lines"] if (line["item"], line["unit"]) == (item, unit)]


def test_the_lines_of_a_service_are_together() -> None:
    made = bill.Bill()
    for service, item in (("S3", "PUT"), ("DynamoDB", "writes"), ("S3", "GET")):
        made.add(bill.Line(service, item, "requests", 1.0), 1)
    assert [line["item"] for line in made.lines()] == ["PUT", "GET", "writes"]


def test_the_contract_of_the_receipt() -> None:
    made = receipt_of()
    assert made["lines"]
    assert {key: made[key] for key in ("run_id", "status", "error", "weights_sha256", "laps", "attempts", "steps")} == {
        "run_id": "run", "status": "succeeded", "error": None, "weights_sha256": "abc", "laps": 2, "attempts": 3,
        "steps": 30}  # fmt: skip
    assert {key: made[key] for key in ("workers", "channel", "pattern", "wire", "seconds")} == {
        "workers": 2, "channel": "memcached", "pattern": "all_gather", "wire": "float32", "seconds": 120}  # fmt: skip


@pytest.mark.parametrize(
    ("item", "quantity", "unit", "price"),
    [
        # The start of a sandbox is billed.
        ("resolve", 0.5 * (1.5 + 0.5), "GB-s", 1.66667e-5),
        ("prepare", 2 * 6, "GB-s", 1.66667e-5),
        ("close_lap", 0.5 * 3 * 0.5, "GB-s", 1.66667e-5),
        ("close_lap", 3, "requests", 2e-7),
        # The killed one's invocation, too.
        ("workers", 5 + 1, "requests", 2e-7),
        # ReadInput, Resolve, IsCalibration, Prepare, Plan, Finish, Finished; three times Lap, CloseLap and HowToGoOn;
        # five times a child's start and Train; of the killed one also RecordFailure and MarkAborted.
        ("state transitions", 7 + 3 * 3 + 5 * 2 + 4, "transitions", 2.5e-5),
        ("exchange PUT", 12, "requests", 5e-6),
        # A GET that finds nothing costs as much.
        ("exchange GET", 100, "requests", 4e-7),
        ("exchange writes", 1000, "units", 6.25e-7),
        ("exchange reads", 400, "units", 1.25e-7),
        ("storage PUT", 1, "requests", 5e-6),
        ("storage LIST", 1, "requests", 5e-6),
        ("storage GET", 2, "requests", 4e-7),
        ("storage HEAD", 3, "requests", 4e-7),
        # Step Functions writes two records for a worker that was killed.
        ("storage writes", 2 + 2, "units", 6.25e-7),
        ("storage reads", 3, "units", 1.25e-7),
        ("exchange up", 0.001, "GB", 0),
        # 1 node for two minutes
        ("cache.t4g.micro", 1 / 30, "node-hours", 0.016),
    ],
)
def test_a_line_of_the_bill(item: str, quantity: float, unit: str, price: float) -> None:
    (found,) = lines(receipt_of(), item, unit)
    assert found["quantity"] == pytest.approx(quantity, abs=1e-6)
    assert found["price"] == pytest.approx(price)
    assert found["usd"] == pytest.approx(quantity * price)


def test_a_worker_that_died_is_billed_for_the_time_of_its_attempt_and_the_line_says_so() -> None:
    # Given attempt 0 of lap 1, between the end of CloseLap after 21.5 s and the next one's beginning after 31.5 s
    known, estimated = lines(receipt_of(), "workers", "GB-s")
    assert known["quantity"] == pytest.approx(2 * (4 * 10 + 4))
    assert "note" not in known
    assert estimated["quantity"] == pytest.approx(2 * 10)
    assert estimated["note"].startswith("estimated")


def test_a_gang_that_died_altogether_is_billed() -> None:
    gone = [record for record in SPENT if record.function != "lap"]
    made = receipt_of(gone, [outcome(0, 0, rank, status="failed", seconds={}) for rank in range(2)])
    (estimated,) = lines(made, "workers", "GB-s")
    # From the end of Plan after 9.5 s to CloseLap after 21 s
    assert estimated["quantity"] == pytest.approx(2 * 2 * 11.5)


def test_a_worker_for_which_there_was_no_room_has_used_nothing_but_transitions() -> None:
    outcomes = [outcome(0, 0, 0), outcome(0, 0, 1, status="failed", error=THROTTLED, seconds={})]
    made = receipt_of([record for record in SPENT if record.lap != 1 and record.rank != 1], outcomes)
    (workers,) = lines(made, "workers", "GB-s")
    assert workers["quantity"] == pytest.approx(2 * 10)
    (transitions,) = lines(made, "state transitions", "transitions")
    assert transitions["quantity"] == 7 + 3 + 2 + (2 + 8 + 2)


def test_a_worker_that_raised_has_a_record_and_is_not_estimated() -> None:
    records = [record.model_copy(update={"failed": record.rank == 1}) for record in SPENT if record.lap != 1]
    made = receipt_of(records, [outcome(0, 0, 0), outcome(0, 0, 1, status="failed", error="ValueError")])
    (workers,) = lines(made, "workers", "GB-s")
    assert workers["quantity"] == pytest.approx(2 * 20)
    (transitions,) = lines(made, "state transitions", "transitions")
    assert transitions["quantity"] == 7 + 3 + 2 + 4


def test_a_failed_finish_is_followed_by_explain_and_salvage() -> None:
    # Given a run whose Finish raised: Explain, a choice, Salvage and Failed come after it
    records = [*SPENT[:-1], spent("finish", 45, 3, failed=True), spent("explain", 49, 0.1), spent("finish", 50, 3)]
    before = lines(receipt_of(), "state transitions", "transitions")[0]["quantity"]
    after = lines(receipt_of(records), "state transitions", "transitions")[0]["quantity"]
    assert after - before == 1 + 2 + 2 - 2


def test_a_finish_outside_the_state_machine_is_no_transition() -> None:
    records = [*SPENT, spent("stop_run", 44.9, 0.1)]
    before = lines(receipt_of(), "state transitions", "transitions")[0]["quantity"]
    assert lines(receipt_of(records), "state transitions", "transitions")[0]["quantity"] == before - 2


def test_to_tell_somebody_is_a_transition() -> None:
    before = lines(receipt_of(), "state transitions", "transitions")[0]["quantity"]
    assert lines(receipt_of(notifies=True), "state transitions", "transitions")[0]["quantity"] == before + 1


def test_the_total_is_the_sum_of_the_lines() -> None:
    made = receipt_of()
    assert made["usd"] == pytest.approx(sum(line["usd"] for line in made["lines"]))
    assert made["usd"] == pytest.approx(
        2 * (6 + 44 + 10 + 3) * 1.66667e-5 + 0.5 * (2 + 0.5 + 1.5) * 1.66667e-5 + 13 * 2e-7 + 30 * 2.5e-5
        + 14 * 5e-6 + 105 * 4e-7 + 1004 * 6.25e-7 + 403 * 1.25e-7 + 0.016 / 30)  # fmt: skip


def test_only_a_run_over_memcached_pays_its_share_of_the_cache() -> None:
    (share,) = lines(receipt_of(cache_nodes=3), "cache.t4g.micro", "node-hours")
    assert share["quantity"] == pytest.approx(0.1)
    assert "paid for by the hour, used or not" in share["note"]
    assert not lines(receipt_of(channel="s3"), "cache.t4g.micro", "node-hours")


@pytest.mark.parametrize(
    ("minutes", "hours"), [(2, 3), (60, 3), (60 + 9.4 / 60, 3), (61, 6), (120, 6), (24 * 60 + 1, 75)]
)
def test_a_run_with_a_cache_of_its_own_pays_whole_hours_of_every_node(minutes: float, hours: int) -> None:
    # Given three nodes that were made when the plan was, 9.5 s after the start, when the run ends so many minutes later
    made = receipt_of(
        cache_mode="per_execution", cache_id="own", cache_nodes=3, ended=STARTED + timedelta(minutes=minutes)
    )
    # Then a part of an hour is a whole one
    (line,) = lines(made, "cache.t4g.micro", "node-hours")
    assert (line["quantity"], line["usd"]) == (hours, pytest.approx(hours * 0.016))
    assert line["note"] == "whole hours of each node of this run's own cache, from its creation"


def test_opening_and_closing_a_cache_are_state_transitions() -> None:
    # Given a run for whose cache was looked three times
    (usual,) = lines(receipt_of(), "state transitions", "transitions")
    looks = [spent("open_cache", 9.5 + 20 * n, 0.1, lap=0, attempt=0) for n in range(3)]

    def more(spent: list[Spent], **changes: Any) -> float:
        (line,) = lines(
            receipt_of(spent=spent, cache_mode="per_execution", **changes), "state transitions", "transitions"
        )
        return float(line["quantity"]) - float(usual["quantity"])

    # When they are counted, then there are NeedsCache, CreateCache, three looks and choices, two waits, and CloseCache
    assert more([*SPENT, *looks], cache_id="own") == 1 + 1 + 3 * 2 + 2 + 1
    # And of a cache that did not come, no choice after the last look
    failed = [*looks[:2], looks[2].model_copy(update={"failed": True})]
    assert more([*SPENT, *failed], cache_id="own") == 1 + 1 + 2 * 2 + 1 + 2 + 1
    # And of a run that needs none, one that sees so
    assert more(SPENT, channel="s3", cache_id="") == 1


def test_what_was_not_used_is_not_on_the_bill() -> None:
    assert not [line for line in receipt_of()["lines"] if not line["quantity"]]
    assert not lines(receipt_of(), "workers, /tmp", "GB-s")


def test_a_larger_tmp_is_billed() -> None:
    # 1.5 GB of /tmp, of which 0.5 are free
    made = bill.of([spent("lap", 0, 10, lap=0, attempt=0, rank=0, tmp_mb=1536)])
    (found,) = [line for line in made.lines() if line["item"] == "workers, /tmp"]
    assert (found["quantity"], found["price"]) == (10, 3.09e-8)


def test_arm_is_billed_as_arm() -> None:
    made = receipt_of([record.model_copy(update={"architecture": "arm64"}) for record in SPENT])
    assert lines(made, "prepare", "GB-s")[0]["price"] == prices.lambda_usd_per_gb_second("arm64")
    assert prices.lambda_usd_per_gb_second("arm64") < prices.lambda_usd_per_gb_second("x86_64")


def test_phases_are_those_of_every_rank_and_of_all() -> None:
    made = receipt_of()
    nothing = dict.fromkeys(PHASES, 0.0)
    assert made["phases"] == [
        {"rank": 0, **nothing, "compute": 13.0, "wait": 11.0, "peak_memory_mb": 700},
        {"rank": 1, **nothing, "compute": 12.0, "wait": 8.0, "peak_memory_mb": 650},
    ]
    assert made["peak_memory_mb"] == 700
    assert made["phases_total"] == {**nothing, "compute": 25.0, "wait": 19.0}


def test_a_gang_costs_as_much_as_its_ranks() -> None:
    mine = spent("lap", 0, 10, lap=0, attempt=0, rank=0, exchange={"s3_put": 100})
    assert bill.usd_of_gang(mine, 4) == pytest.approx(4 * (20 * 1.66667e-5 + 2e-7 + 2 * 2.5e-5 + 100 * 5e-6))


@pytest.mark.parametrize(
    ("step", "failure", "limit", "status", "stopped_by"),
    [
        (30, None, "", "succeeded", "last_step"),
        (20, None, "", "succeeded", "early_stopping"),
        (20, None, "budget", "succeeded", "budget"),
        (20, None, "deadline", "succeeded", "deadline"),
        (20, {"error": "WorkerLost", "cause": "rank 1 ended without an outcome."}, "", "failed", "failure"),
        (30, {"error": "WorkerLost", "cause": "rank 1 ended without an outcome."}, "", "failed", "failure"),
        (20, {"error": "RunStopped", "cause": "The run was stopped from outside."}, "", "failed", "asked"),
    ],
)
def test_why_a_run_ended(step: int, failure: dict[str, str] | None, limit: str, status: str, stopped_by: str) -> None:
    made = receipt_of(final=Checkpoint(step=step, lap=1, attempt=1), failure=failure, limit=limit)
    assert (made["status"], made["stopped_by"], made["error"]) == (status, stopped_by, failure)


def test_prices_have_a_date_and_a_region() -> None:
    assert receipt_of()["prices_as_of"] == "2026-11-24, us-east-1"


def test_a_directory_bucket_charges_for_requests_and_bytes() -> None:
    # Given a worker that has written 2 GB and read 3 GB in S3 Express
    counts = {"s3express_put": 10, "s3express_get": 20, "s3express_get_missing": 5, "bytes_up": 2e9, "bytes_down": 3e9}
    made = bill.of([spent("lap", 0, 10, lap=0, attempt=0, rank=0, exchange=counts)])
    # When its lines are read, then they are S3 Express' own (S3 pricing, us-east-1)
    express = {
        line["item"]: (line["quantity"], line["price"]) for line in made.lines() if line["service"] == "S3 Express"
    }
    assert express == {
        "exchange PUT": (10, 1.13e-6),
        "exchange GET": (25, 3e-8),
        "exchange up": (2, 0.0032),
        "exchange down": (3, 0.0006),
    }
