"""What comes after an attempt, from its ranks' outcomes."""

from typing import Any

import pytest

from paytrain.control.close_lap import Decision, decide
from paytrain.exchange.votes import Vote
from paytrain.run import Checkpoint, Outcome
from tests.unit.plans import plan

WORKERS, LAP, ATTEMPT = 3, 4, 1
SAVED = Checkpoint(step=20, lap=LAP, attempt=ATTEMPT)
BEFORE = Checkpoint(step=15, lap=LAP - 1, attempt=0)
ALL = set(range(WORKERS))


def outcome(status: Any, step: int = 20, votes: int = Vote.TIME, **fields: Any) -> Outcome:
    return Outcome(lap=LAP, attempt=ATTEMPT, rank=0, status=status, step=step, votes=votes, **fields)


STOPPED, FINISHED = outcome("stopped"), outcome("finished", votes=Vote.GO_ON)
LEFT = outcome("left", 0, 0, error="PeerLost", cause="Rank 2 has stored nothing.")
FAILED = outcome("failed", 0, 0, error="ResourceExhausted", cause="No memory is left.")
ASKED = outcome("stopped", votes=Vote.ASKED | Vote.TIME)


def decision(
    outcomes: list[Outcome | None],
    saved: Checkpoint | None = SAVED,
    claimed: set[int] = ALL,
    attempt: int = ATTEMPT,
    max_attempts: int = 3,
) -> Decision:
    """Decide from the outcomes of ranks 0, 1, ...; None is a rank without one."""
    by_rank = {rank: o.model_copy(update={"rank": rank}) for rank, o in enumerate(outcomes) if o is not None}
    complete = {saved} if saved else set()
    return decide(plan(workers=WORKERS, max_attempts=max_attempts), by_rank, complete, claimed, LAP, attempt)


def given_up(checkpoint: Checkpoint, error: str, cause: str) -> Decision:
    return Decision(next="give_up", checkpoint=checkpoint, error=error, cause=cause)


@pytest.mark.parametrize(
    ("outcomes", "saved", "next_"),
    [
        ([STOPPED, STOPPED, STOPPED], SAVED, "continue"),
        ([FINISHED, FINISHED, FINISHED], SAVED, "finished"),
        # The last step, at which somebody also asked for a stop: there is nothing left to stop.
        ([outcome("finished", votes=Vote.ASKED)] * 3, SAVED, "finished"),
        ([ASKED, ASKED, ASKED], SAVED, "give_up"),
        # Not all ranks ended alike.
        ([STOPPED, STOPPED, outcome("stopped", step=21)], SAVED, "retry"),
        ([STOPPED, STOPPED, outcome("stopped", votes=Vote.ASKED)], SAVED, "retry"),
        ([FINISHED, FINISHED, outcome("stopped", votes=Vote.GO_ON)], SAVED, "retry"),
        ([STOPPED, STOPPED, None], SAVED, "retry"),
        ([STOPPED, STOPPED, LEFT], SAVED, "retry"),
        ([LEFT, FAILED, LEFT], BEFORE, "retry"),
        ([LEFT, LEFT, LEFT], BEFORE, "retry"),
        ([FAILED, FAILED, FAILED], BEFORE, "retry"),
        ([None, None, None], BEFORE, "retry"),
        # All ended alike, but what they saved is not all there.
        ([STOPPED, STOPPED, STOPPED], BEFORE, "retry"),
        ([FINISHED, FINISHED, FINISHED], BEFORE, "retry"),
        ([FINISHED, FINISHED, FINISHED], None, "retry"),
        ([ASKED, ASKED, ASKED], BEFORE, "retry"),
        ([STOPPED, STOPPED, STOPPED], SAVED.model_copy(update={"attempt": 0}), "retry"),
        ([STOPPED, STOPPED, STOPPED], SAVED.model_copy(update={"lap": LAP - 1}), "retry"),
    ],
)
def test_what_comes_next(outcomes: list[Outcome | None], saved: Checkpoint | None, next_: str) -> None:
    assert decision(outcomes, saved).next == next_


def test_equal_outcomes_beat_whatever_else_is_known() -> None:
    # Given equal outcomes and a complete checkpoint, in the last attempt, and no claim to be seen
    last = SAVED.model_copy(update={"attempt": 2})
    # When the attempt is closed, then it counts
    assert decision([STOPPED] * 3, last, claimed=set(), attempt=2) == Decision(next="continue", checkpoint=last)
    assert decision([FINISHED] * 3, last, claimed=set(), attempt=2) == Decision(next="finished", checkpoint=last)


def test_a_run_stopped_from_outside_says_so() -> None:
    assert decision([ASKED] * 3) == given_up(SAVED, "RunStopped", "The run was stopped from outside.")


@pytest.mark.parametrize(("attempt", "max_attempts", "next_"), [(0, 1, "give_up"), (0, 2, "retry"), (1, 2, "give_up")])
def test_attempts_are_counted(attempt: int, max_attempts: int, next_: str) -> None:
    assert decision([LEFT, FAILED, LEFT], BEFORE, attempt=attempt, max_attempts=max_attempts).next == next_


@pytest.mark.parametrize(
    ("outcomes", "saved", "error", "reason"),
    [
        ([LEFT, FAILED, LEFT], BEFORE, "ResourceExhausted", "rank 1: No memory is left."),
        ([LEFT, LEFT, None], BEFORE, "PeerLost", "rank 0: Rank 2 has stored nothing."),
        ([STOPPED, None, STOPPED], BEFORE, "WorkerLost", "rank 1 ended without an outcome."),
        (
            [STOPPED, STOPPED, STOPPED],
            BEFORE,
            "CheckpointIncomplete",
            "the checkpoint at the end of the lap is not complete.",
        ),
    ],
)
def test_the_last_attempt_is_given_up_with_its_most_telling_cause(
    outcomes: list[Outcome | None], saved: Checkpoint, error: str, reason: str
) -> None:
    cause = f"Lap 4 has failed 3 times, the last time because: {reason}"
    assert decision(outcomes, saved, attempt=2) == given_up(saved, error, cause)


@pytest.mark.parametrize(
    ("outcomes", "claimed", "who"),
    [([LEFT, None, LEFT], {0, 2}, "rank 1 has not started within 120 s (1 of 3 are absent)"),
     ([LEFT, None, None], {0}, "rank 1 has not started within 120 s (2 of 3 are absent)")],
)  # fmt: skip
def test_a_gang_that_does_not_assemble_is_given_up_at_once(
    outcomes: list[Outcome | None], claimed: set[int], who: str
) -> None:
    # Given ranks that never started, in the first attempt
    decided = decision(outcomes, BEFORE, claimed=claimed, attempt=0)
    # Then no retry is spent on it, and the sentence says who is absent and what to do
    assert (decided.next, decided.error) == ("give_up", "GangIncomplete")
    assert who in decided.cause
    assert "Service Quotas" in decided.cause


def test_a_rank_that_failed_to_start_is_not_absent() -> None:
    # Given a rank without a claim, whose failure Step Functions has recorded
    assert decision([LEFT, FAILED, LEFT], BEFORE, claimed={0, 2}).next == "retry"


@pytest.mark.parametrize("error", ["JobError", "TrainingDiverged"])
def test_what_no_attempt_can_mend_is_given_up_at_once(error: str) -> None:
    # Given a rank that found its data changed or its loss infinite, on the first of three attempts
    hopeless = outcome("failed", 0, 0, error=error, cause="s3://b/x.npz has changed during the run.")
    # When the attempt is closed
    decided = decision([LEFT, hopeless, LEFT], BEFORE, attempt=0)
    # Then there is no second one, and the cause is the sentence
    assert decided == given_up(BEFORE, error, "s3://b/x.npz has changed during the run.")


def test_equal_outcomes_count_beside_checkpoints_of_other_attempts_at_the_same_step() -> None:
    # Given a complete checkpoint of this attempt, and others' at the same step, from before and after
    others = {SAVED.model_copy(update={"attempt": 0}), SAVED.model_copy(update={"lap": LAP + 1, "attempt": 0})}
    by_rank = {rank: STOPPED.model_copy(update={"rank": rank}) for rank in ALL}
    # When the attempt is closed
    decided = decide(plan(workers=WORKERS), by_rank, {SAVED, *others}, ALL, LAP, ATTEMPT)
    # Then it counts, and the run goes on from its own
    assert decided == Decision(next="continue", checkpoint=SAVED)


def test_a_worker_for_which_lambda_had_no_room_makes_the_gang_incomplete() -> None:
    # Given a rank that Lambda has refused to start until Step Functions stopped asking
    refused = outcome("failed", 0, 0, error="Lambda.TooManyRequestsException", cause="Rate Exceeded.")
    # When the attempt is closed, the first of three
    decided = decision([LEFT, LEFT, refused], BEFORE, claimed={0, 1}, attempt=0)
    # Then waiting thrice is spared, and the sentence says what to ask for
    assert (decided.next, decided.error) == ("give_up", "GangIncomplete")
    assert "Service Quotas" in decided.cause
