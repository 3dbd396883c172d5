"""The receipt: what a run did, used and cost, put together from the records that its invocations left.

Not on it: what is stored after the run, logs and traces (docs/cost.md).
"""

import statistics
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from paytrain import bill
from paytrain.plan import Plan
from paytrain.planner import prices
from paytrain.run import PHASES, RUN_STOPPED, THROTTLED, Checkpoint, Outcome, Spent

_TRANSITIONS_AROUND = 2
"""Of a run, beside those that its invocations stand for: ReadInput, IsCalibration."""
_TRANSITIONS_OF_CHOICE, _TRANSITIONS_OF_CLOSING = 1, 1
"""Of a run where caches are the runs' own: NeedsCache, whatever it needs; CloseCache before every Finish."""
_TRANSITIONS_OF_UNSTARTED = bill.FAILED_WORKER_STATES + 8
"""Of a worker for which there was no room: as of one that failed, and its retries."""
_BEFORE_A_LAP = ("plan", "open_cache", "close_lap")


def make(
    plan: Plan,
    *,
    run: dict[str, Any],
    outcomes: Sequence[Outcome],
    spent: Sequence[Spent],
    final: Checkpoint,
    failure: dict[str, str] | None,
    limit: str,
    weights_sha256: str,
    results: dict[str, float],
    evaluation: str,
    ended: datetime,
) -> dict[str, Any]:
    """The receipt of a run.

    Parameters
    ----------
    run
        The run's record: when and by which execution it was started.
    outcomes
        Of every rank, lap and attempt.
    spent
        Of every invocation that left a record, and of Finish so far.
    final
        The checkpoint that was exported.
    failure
        ``error`` and ``cause``, or None.
    limit
        ``budget`` or ``deadline`` if the run was stopped by it; empty otherwise.
    evaluation
        Whether the results are of the exported model, and if not, why.

    Returns
    -------
    dict
        ``lines`` is the bill; ``usd`` its total at list prices.
    """
    attempts = {(o.lap, o.attempt) for o in outcomes}
    seconds = (ended - datetime.fromisoformat(run["started"])).total_seconds() if "started" in run else None
    total = _bill(plan, outcomes, spent, seconds or 0.0, ended)
    phases = [_phases_of(rank, outcomes) for rank in range(plan.workers)]
    speeds = [outcome.samples_per_second for outcome in outcomes if outcome.samples_per_second]
    return {
        "run_id": plan.run_id,
        "status": "failed" if failure else "succeeded",
        "error": failure,
        "stopped_by": _stopped_by(plan, final, failure, limit),
        "weights_sha256": weights_sha256,
        "results": results,
        "evaluation": evaluation,
        "laps": len({lap for lap, _ in attempts}),
        "attempts": len(attempts),
        "steps": final.step,
        "workers": plan.workers,
        "channel": plan.channel,
        "pattern": plan.pattern,
        "wire": plan.wire,
        "sync_every": plan.sync_every,
        "seconds": seconds,
        "usd": total.usd,
        "predicted": plan.predicted.model_dump() if plan.predicted else None,
        "prices_as_of": prices.as_of(),
        "lines": total.lines(),
        "phases_total": {name: round(sum(rank[name] for rank in phases), 3) for name in PHASES},
        "phases": phases,
        "peak_memory_mb": max((outcome.peak_memory_mb for outcome in outcomes), default=0),
        "samples_per_second": statistics.fmean(speeds) if speeds else None,
    }


def lost_workers(plan: Plan, outcomes: Sequence[Outcome], spent: Sequence[Spent], ended: datetime) -> list[Spent]:
    """At most what was used by workers that died before they could record it: as much time as their attempt took."""
    recorded = {(s.lap, s.attempt, s.rank): s for s in spent if s.function == "lap"}
    unstarted = {(o.lap, o.attempt, o.rank) for o in outcomes if o.error == THROTTLED}
    lost = []
    for lap, attempt in sorted({(o.lap, o.attempt) for o in outcomes}):
        peers = [s for s in spent if s.function == "lap" and (s.lap, s.attempt) == (lap, attempt)]
        for rank in range(plan.workers):
            if (lap, attempt, rank) not in recorded.keys() | unstarted:
                begin, end = _window(lap, attempt, spent, ended)
                like = max(peers or spent, key=lambda s: s.seconds)
                used = {"requests": {}, "exchange": {}, "tmp_mb": like.tmp_mb}
                place = {"function": "lap", "lap": lap, "attempt": attempt, "rank": rank, "memory_mb": plan.memory_mb}
                times = {"began": begin, "init_seconds": 0.0, "seconds": max(end - begin, 0.0), "failed": True}
                lost.append(like.model_copy(update={**used, **place, **times}))
    return lost


def _window(lap: int, attempt: int, spent: Sequence[Spent], ended: datetime) -> tuple[float, float]:
    """From the end of the function before an attempt to the beginning of the one after it."""
    closing = [s.began for s in spent if (s.function, s.lap, s.attempt) == ("close_lap", lap, attempt)]
    end = min(closing, default=ended.timestamp())
    before = [s.began + s.seconds for s in spent if s.function in _BEFORE_A_LAP and s.began < end]
    return max(before, default=end), end


def _bill(
    plan: Plan, outcomes: Sequence[Outcome], spent: Sequence[Spent], seconds: float, ended: datetime
) -> bill.Bill:
    attempts = len({(o.lap, o.attempt) for o in outcomes})
    transitions = _TRANSITIONS_AROUND + bill.ATTEMPT_STATES * attempts
    transitions += _TRANSITIONS_OF_UNSTARTED * sum(outcome.error == THROTTLED for outcome in outcomes)
    if plan.cache_mode == "per_execution":
        transitions += _TRANSITIONS_OF_CHOICE
    if any(record.function == "stop_run" for record in spent):
        transitions -= bill.FINISH_STATES
    else:
        if plan.notifies:
            transitions += 1
        if plan.cache_id:
            transitions += _TRANSITIONS_OF_CLOSING * sum(record.function == "finish" for record in spent)
    total = bill.of(spent, lost_workers(plan, outcomes, spent, ended), transitions=transitions)
    if plan.uses_cache:
        hours, note = _node_hours(plan, spent, seconds, ended)
        price = prices.cache_usd_per_node_hour(plan.cache_node_type)
        total.add(bill.Line("ElastiCache", plan.cache_node_type, "node-hours", price, note), hours)
    return total


def _node_hours(plan: Plan, spent: Sequence[Spent], seconds: float, ended: datetime) -> tuple[float, str]:
    """What is to be paid for the cache, and what a reader must know of it."""
    if not plan.cache_id:
        note = "this run's share of a cache that is paid for by the hour, used or not"
        return plan.cache_nodes * seconds / 3600, note
    created = max((s.began + s.seconds for s in spent if s.function == "plan"), default=ended.timestamp() - seconds)
    note = "whole hours of each node of this run's own cache, from its creation"
    return prices.billed_node_hours(plan.cache_nodes, ended.timestamp() - created), note


def _phases_of(rank: int, outcomes: Sequence[Outcome]) -> dict[str, float]:
    seconds: Counter[str] = Counter()
    for outcome in outcomes:
        if outcome.rank == rank:
            seconds.update(outcome.seconds)
    peak_mb = max((outcome.peak_memory_mb for outcome in outcomes if outcome.rank == rank), default=0)
    return {"rank": rank, **{name: round(seconds[name], 3) for name in PHASES}, "peak_memory_mb": peak_mb}


def _stopped_by(plan: Plan, final: Checkpoint, failure: dict[str, str] | None, limit: str) -> str:
    if failure:
        return "asked" if failure["error"] == RUN_STOPPED else "failure"
    if limit:
        return limit
    return "last_step" if final.step >= plan.total_steps else "early_stopping"
