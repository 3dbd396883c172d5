"""What a run used and cost, line by line.

Counted where it happens: every worker reports its billed seconds and its channel's requests. Not counted are
the control functions' milliseconds, the run table and the objects of model, data and checkpoints; a provisioned
cache is paid for by the hour whether a run uses it or not, and is not on the bill of a run.
"""

import platform
import statistics
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from paytrain.plan import Plan
from paytrain.planner import prices
from paytrain.run import RUN_STOPPED, Checkpoint, Outcome

_PARENT_TRANSITIONS = 6
"""Of a run beside its laps: ReadInput, Resolve, Prepare, Plan, Finish, Finished."""
_LAP_TRANSITIONS = 3
"""Of a lap in the parent: Map, CloseLap, Choice."""
_CHILD_TRANSITIONS = 2
"""Of a worker's child execution: start and task."""


def make(
    plan: Plan,
    *,
    run: dict[str, Any],
    outcomes: Sequence[Outcome],
    final: Checkpoint,
    failure: dict[str, str] | None,
    weights_sha256: str,
    results: dict[str, float],
    finish_seconds: float,
    ended: datetime,
) -> dict[str, Any]:
    """The receipt of a run.

    Parameters
    ----------
    run
        The run's record: when and by which execution it was started.
    outcomes
        Of every rank, lap and attempt.
    final
        The checkpoint that was exported.
    failure
        ``error`` and ``cause``, or None.
    finish_seconds
        Seconds that Finish has taken so far.

    Returns
    -------
    dict
        ``lines`` is the bill; ``usd`` its total at list prices.
    """
    attempts = len({(o.lap, o.attempt) for o in outcomes})
    laps = len({o.lap for o in outcomes})
    lines = _bill(plan, outcomes, attempts, plan.prepared.seconds + finish_seconds)
    seconds = (ended - datetime.fromisoformat(run["started"])).total_seconds() if "started" in run else None
    phases: Counter[str] = Counter()
    for outcome in outcomes:
        phases.update(outcome.seconds)
    speeds = [outcome.samples_per_second for outcome in outcomes if outcome.samples_per_second]
    return {
        "run_id": plan.run_id,
        "status": "failed" if failure else "succeeded",
        "error": failure,
        "stopped_by": _stopped_by(plan, final, failure),
        "weights_sha256": weights_sha256,
        "results": results,
        "laps": laps,
        "attempts": attempts,
        "steps": final.step,
        "workers": plan.workers,
        "channel": plan.channel,
        "pattern": plan.pattern,
        "wire": plan.wire,
        "seconds": seconds,
        "usd": sum(line["usd"] for line in lines),
        "prices_as_of": prices.as_of(),
        "lines": lines,
        "worker_seconds": dict(phases),
        "samples_per_second": statistics.fmean(speeds) if speeds else None,
    }


def _stopped_by(plan: Plan, final: Checkpoint, failure: dict[str, str] | None) -> str:
    if failure:
        return "asked" if failure["error"] == RUN_STOPPED else "failure"
    return "last_step" if final.step >= plan.total_steps else "early_stopping"


def _bill(plan: Plan, outcomes: Sequence[Outcome], attempts: int, single_seconds: float) -> list[dict[str, Any]]:
    usage: Counter[str] = Counter()
    for outcome in outcomes:
        usage.update(outcome.usage)
    gb = plan.memory_mb / 1024
    architecture = {"aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), "x86_64")
    gb_second = prices.lambda_usd_per_gb_second(architecture)
    billed = sum(outcome.seconds.get("billed", 0.0) for outcome in outcomes)
    transitions = _PARENT_TRANSITIONS + attempts * (_LAP_TRANSITIONS + plan.workers * _CHILD_TRANSITIONS)
    entries = [
        ("workers", gb * billed, "GB-s", gb_second),
        ("prepare and finish", gb * single_seconds, "GB-s", gb_second),
        ("invocations", len(outcomes) + attempts + 4, "requests", prices.lambda_usd_per_request()),
        ("state transitions", transitions, "transitions", prices.step_functions_usd_per_transition()),
        ("exchange, S3 PUT", usage["s3_put"], "requests", prices.s3_usd_per_put()),
        ("exchange, S3 GET", usage["s3_get"] + usage["s3_get_missing"], "requests", prices.s3_usd_per_get()),
        ("exchange, DynamoDB writes", usage["dynamodb_write_units"], "units", prices.dynamodb_usd_per_write_unit()),
        ("exchange, DynamoDB reads", usage["dynamodb_read_units"], "units", prices.dynamodb_usd_per_read_unit()),
    ]
    return [
        {"item": item, "quantity": round(quantity, 3), "unit": unit, "price": price, "usd": quantity * price}
        for item, quantity, unit, price in entries
        if quantity
    ]
