"""CloseLap: from all ranks' outcomes, what comes next. It alone chooses the checkpoint from which to go on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from paytrain.control.environment import CloseEnvironment
from paytrain.control.plan import state_of
from paytrain.errors import JobError
from paytrain.exchange.votes import Vote
from paytrain.plan import Plan
from paytrain.run import RUN_STOPPED, Checkpoint, Items, Keys, Outcome, Start, newest_complete
from paytrain.store import Artifacts, RunTable

_THROTTLED = "Lambda.TooManyRequestsException"


@dataclass(frozen=True)
class Decision:
    """What comes after an attempt.

    Attributes
    ----------
    next
        The state machine's choice.
    error, cause
        Why the run is given up.
    """

    next: Literal["continue", "finished", "retry", "give_up"]
    error: str = ""
    cause: str = ""


def close_lap(event: dict[str, Any], environment: CloseEnvironment) -> dict[str, Any]:
    """Close an attempt; closing it again gives the same answer.

    Parameters
    ----------
    event
        The state machine's state, with ``run_id``, ``lap`` and ``attempt``.

    Returns
    -------
    dict
        The state machine's next state.
    """
    run_id, lap, attempt = event["run_id"], event["lap"], event["attempt"]
    table, artifacts = RunTable(environment.run_table, run_id), Artifacts(environment.artifacts_bucket)
    plan = Plan.model_validate_json(artifacts.get(Keys(run_id).plan))
    outcomes = table.outcomes(lap, attempt)
    newest = newest_complete(artifacts.checkpoints(run_id), plan.workers, plan.prepared.has_own_state)
    claimed = table.claimed_ranks(lap, attempt)
    decision = decide(plan, outcomes, newest, claimed, lap, attempt)

    if decision.next == "finished":
        table.put_once(Items.FINAL, newest or Checkpoint(step=0, lap=0, attempt=0))
        return {**state_of(plan, lap, attempt), "next": "finished"}
    if decision.next == "give_up":
        return {**state_of(plan, lap, attempt), "next": "give_up", "error": decision.error, "cause": decision.cause}
    lap, attempt = (lap + 1, 0) if decision.next == "continue" else (lap, attempt + 1)
    pace = _slowest(outcomes) or Start.model_validate(table.get(Items.start(event["lap"], event["attempt"]))).pace
    start = Start(checkpoint=newest or Checkpoint(step=0, lap=0, attempt=0), pace=pace)
    table.put_once(Items.start(lap, attempt), start)
    return {**state_of(plan, lap, attempt), "next": decision.next}


def decide(
    plan: Plan,
    outcomes: Mapping[int, Outcome],
    newest: Checkpoint | None,
    claimed: set[int],
    lap: int,
    attempt: int,
) -> Decision:
    """What comes next; W equal outcomes and a complete checkpoint beat any abort mark.

    Parameters
    ----------
    outcomes
        By rank; a rank without one counts as lost.
    newest
        The newest complete checkpoint.
    claimed
        Ranks whose worker has started.
    """
    ends = {(o.status, o.step, o.votes) for o in outcomes.values()}
    if len(outcomes) == plan.workers and len(ends) == 1:
        status, step, votes = ends.pop()
        saved = newest is not None and (newest.step, newest.lap, newest.attempt) == (step, lap, attempt)
        if status == "finished" and saved:
            return Decision("finished")
        if status == "stopped" and saved:
            if Vote.ASKED in Vote(votes):
                return Decision("give_up", RUN_STOPPED, "The run was stopped from outside.")
            return Decision("continue")
    for outcome in outcomes.values():
        if outcome.error == JobError.__name__:
            return Decision("give_up", outcome.error, outcome.cause)
    if absent := [rank for rank in range(plan.workers) if rank not in claimed and _never_ran(outcomes.get(rank))]:
        return Decision(
            "give_up",
            "GangIncomplete",
            f"The worker of rank {absent[0]} has not started within {plan.gang_timeout_seconds:g} s "
            f"({len(absent)} of {plan.workers} are absent): ask for more concurrent executions in Service Quotas, "
            "or for fewer workers.",
        )
    if attempt + 1 < plan.max_attempts:
        return Decision("retry")
    error, cause = _first_cause(plan, outcomes)
    return Decision("give_up", error, f"Lap {lap} has failed {plan.max_attempts} times, the last time because: {cause}")


def _never_ran(outcome: Outcome | None) -> bool:
    """Whether a rank's worker could not start: nothing is known of it, or Lambda had no room for it."""
    return outcome is None or outcome.error == _THROTTLED


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


def _slowest(outcomes: Mapping[int, Outcome]) -> dict[str, float]:
    """The longest duration of each phase over all ranks."""
    slowest: dict[str, float] = {}
    for outcome in outcomes.values():
        for phase, seconds in outcome.pace.items():
            slowest[phase] = max(slowest.get(phase, 0.0), seconds)
    return slowest
