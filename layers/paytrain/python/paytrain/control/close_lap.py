"""CloseLap: from all ranks' outcomes, what comes next. It alone chooses the checkpoint from which to go on."""

import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, ConfigDict

from paytrain import bill
from paytrain.control.environment import CloseEnvironment
from paytrain.control.plan import state_of
from paytrain.control.reserve import seconds_of_lap
from paytrain.errors import JobError, TrainingDiverged
from paytrain.exchange.votes import Vote
from paytrain.limits import limits_reached, stopped_by
from paytrain.metering import Spending
from paytrain.observability import logger
from paytrain.plan import Plan
from paytrain.run import RUN_STOPPED, THROTTLED, Checkpoint, Items, Keys, Outcome, Spent, Start, complete, newest
from paytrain.store import Artifacts, RunTable

_NO_ATTEMPT_HELPS = (JobError.__name__, TrainingDiverged.__name__)


class Decision(BaseModel):
    """What comes after an attempt.

    Attributes
    ----------
    next
        The state machine's choice.
    checkpoint
        From which the run goes on, or which it ends with.
    error, cause
        Why the run is given up.
    stopped_by
        The limit that has ended the run, ``budget`` or ``deadline``; empty if none has.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    next: Literal["continue", "finished", "retry", "give_up"]
    checkpoint: Checkpoint
    error: str = ""
    cause: str = ""
    stopped_by: str = ""


def close_lap(event: dict[str, Any], environment: CloseEnvironment, spending: Spending) -> dict[str, Any]:
    """Close an attempt, once: closing it again gives the same answer, whatever has come after.

    Parameters
    ----------
    event
        The state machine's state, with ``run_id``, ``lap`` and ``attempt``.
    spending
        Of this invocation.

    Returns
    -------
    dict
        The state machine's next state.
    """
    run_id, lap, attempt = event["run_id"], event["lap"], event["attempt"]
    table, artifacts = RunTable(environment.run_table, run_id), Artifacts(environment.artifacts_bucket)
    plan = Plan.model_validate_json(artifacts.get(Keys(run_id).plan))
    start = Start.model_validate(table.get(Items.start(lap, attempt)))
    outcomes = table.outcomes(lap, attempt)
    found = artifacts.checkpoints(run_id)

    now, pace = time.time(), _slowest(outcomes, "pace") or start.pace
    spent = table.spent(Items.spent(lap, attempt))
    # No worker has begun before the run's own cluster was there.
    seconds = now - max([start.at, *(s.began + s.seconds for s in spent if s.function == "open_cache")])
    usd = start.usd + usd_of_attempt(plan, [*spent, spending.so_far()], seconds)
    if table.get(Items.closed(lap, attempt)) is None:
        saved = complete(found, plan.workers, plan.has_rank_parts)
        claimed = table.claimed_ranks(lap, attempt)
        limits = _limits_of_another(plan, outcomes, pace, usd=usd, now=now)
        decision = decide(plan, outcomes, saved, claimed, lap, attempt, limits)
        table.put_once(Items.closed(lap, attempt), decision)
    decision = Decision.model_validate(table.get(Items.closed(lap, attempt)))

    match decision.next:
        case "finished" | "give_up":
            table.put_once(Items.FINAL, decision.checkpoint)
        case "continue" | "retry":
            following = Start(checkpoint=decision.checkpoint, pace=pace, usd=usd, at=now)
            lap, attempt = (lap + 1, 0) if decision.next == "continue" else (lap, attempt + 1)
            table.put_once(Items.start(lap, attempt), following)
    _forget(run_id, artifacts, {at: parts for at, parts in found.items() if at.step < start.checkpoint.step})
    reason = {"error": decision.error, "cause": decision.cause} if decision.next == "give_up" else {}
    return {**state_of(plan, lap, attempt), "next": decision.next, **reason}


def decide(
    plan: Plan,
    outcomes: Mapping[int, Outcome],
    saved: AbstractSet[Checkpoint],
    claimed: AbstractSet[int],
    lap: int,
    attempt: int,
    limits: Vote = Vote.GO_ON,
) -> Decision:
    """What comes next; W equal outcomes and a complete checkpoint beat any abort mark.

    Parameters
    ----------
    outcomes
        By rank; a rank without one counts as lost.
    saved
        The complete checkpoints, of whatever attempts.
    claimed
        Ranks whose worker has started.
    limits
        What forbids another lap.
    """
    ends = {(o.status, o.step, o.votes) for o in outcomes.values()}
    if len(outcomes) == plan.workers and len(ends) == 1:
        status, step, votes = ends.pop()
        end = Checkpoint(step=step, lap=lap, attempt=attempt)
        if status == "finished" and end in saved:
            return Decision(next="finished", checkpoint=end)
        if status == "stopped" and end in saved:
            if Vote.ASKED in Vote(votes):
                return Decision(
                    next="give_up", checkpoint=end, error=RUN_STOPPED, cause="The run was stopped from outside."
                )
            if limit := stopped_by(Vote(votes) | limits):
                return Decision(next="finished", checkpoint=end, stopped_by=limit)
            return Decision(next="continue", checkpoint=end)
    last = newest(saved)
    for outcome in outcomes.values():
        if outcome.error in _NO_ATTEMPT_HELPS:
            return Decision(next="give_up", checkpoint=last, error=outcome.error, cause=outcome.cause)
    if absent := [rank for rank in range(plan.workers) if rank not in claimed and _never_ran(outcomes.get(rank))]:
        return Decision(
            next="give_up",
            checkpoint=last,
            error="GangIncomplete",
            cause=f"The worker of rank {absent[0]} has not started within {plan.gang_timeout_seconds:g} s "
            f"({len(absent)} of {plan.workers} are absent): ask for more concurrent executions in Service Quotas, "
            "or for fewer workers.",
        )
    if attempt + 1 < plan.max_attempts and not limits:
        return Decision(next="retry", checkpoint=last)
    if limits and last.step:
        return Decision(next="finished", checkpoint=last, stopped_by=stopped_by(limits))
    error, cause = _first_cause(plan, outcomes)
    if limits:
        cause = (
            f"Lap {lap} has failed before its first checkpoint, and its {stopped_by(limits)} allows no other attempt: "
            f"{cause}"
        )
        return Decision(next="give_up", checkpoint=last, error=error, cause=cause)
    cause = f"Lap {lap} has failed {plan.max_attempts} times, the last time because: {cause}"
    return Decision(next="give_up", checkpoint=last, error=error, cause=cause)


def usd_of_attempt(plan: Plan, spent: Sequence[Spent], seconds: float) -> float:
    """What an attempt has cost; of workers that died without a record, at most.

    Parameters
    ----------
    spent
        Of its workers and CloseLap.
    seconds
        Since it began.
    """
    lost = max(0, plan.workers - sum(record.function == "lap" for record in spent))
    died = lost * (plan.reserve.gang_usd_per_second * seconds + plan.reserve.lap_usd) / plan.workers
    return bill.of(spent, transitions=bill.ATTEMPT_STATES).usd + died


def _limits_of_another(
    plan: Plan, outcomes: Mapping[int, Outcome], pace: dict[str, float], *, usd: float, now: float
) -> Vote:
    """Which limits forbid another lap, were it of one round."""
    reserve = plan.reserve
    spent = _slowest(outcomes, "seconds")
    start_seconds = spent["start"] + spent["load"] if {"start", "load"} <= spent.keys() else reserve.lap_seconds
    step = max((outcome.step for outcome in outcomes.values()), default=0)
    return limits_reached(
        plan,
        usd=usd + reserve.lap_usd,
        now=now,
        seconds=seconds_of_lap(plan, start_seconds, pace, step),
        rounds=1,
        round_usd=reserve.round_usd,
    )


def _forget(run_id: str, artifacts: Artifacts, older: Mapping[Checkpoint, set[str]]) -> None:
    """Delete what was written before the closed attempt's start, so that a run keeps the checkpoints of two laps.

    Whatever attempt goes on now, it began at this one's start or later; that is as true of a closing that is repeated
    late. A run does not fail for what could not be deleted: the bucket forgets checkpoints after some days.
    """
    try:
        artifacts.delete_checkpoints(run_id, older)
    except (BotoCoreError, ClientError) as error:
        logger.warning("old checkpoints could not be deleted", extra={"cause": str(error)})


def _never_ran(outcome: Outcome | None) -> bool:
    """Whether a rank's worker could not start: nothing is known of it, or Lambda had no room for it."""
    return outcome is None or outcome.error == THROTTLED


def _first_cause(plan: Plan, outcomes: Mapping[int, Outcome]) -> tuple[str, str]:
    """The most telling reason: a worker's own error before those of the peers that left because of it."""
    for status in ("failed", "left"):
        for rank, outcome in sorted(outcomes.items()):
            if outcome.status == status:
                return outcome.error, f"rank {rank}: {outcome.cause}"
    lost = sorted(set(range(plan.workers)) - set(outcomes))
    if lost:
        return "WorkerLost", f"rank {lost[0]} ended without an outcome."
    return "CheckpointIncomplete", "the checkpoint at the end of the lap is not complete."


def _slowest(outcomes: Mapping[int, Outcome], which: Literal["pace", "seconds"]) -> dict[str, float]:
    """The longest of each phase over all ranks: a single time, or in all."""
    slowest: dict[str, float] = {}
    for outcome in outcomes.values():
        for phase, seconds in getattr(outcome, which).items():
            slowest[phase] = max(slowest.get(phase, 0.0), seconds)
    return slowest
