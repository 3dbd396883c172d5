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
    newest: Checkpoint | None = SAVED,
    claimed: set[int] = ALL,
    attempt: int = ATTEMPT,
    max_attempts: int = 3,
) -> Decision:
    """Decide from the outcomes of ranks 0, 1, ...; None is a rank without one."""
    by_rank = {rank: o.model_copy(update={"rank": rank}) for rank, o in enumerate(outcomes) if o is not None}
    return decide(plan(workers=WORKERS, max_attempts=max_attempts), by_rank, newest, claimed, LAP, attempt)


@pytest.mark.parametrize(
    ("outcomes", "newest", "next_"),
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
def test_what_comes_next(outcomes: list[Outcome | None], newest: Checkpoint | None, next_: str) -> None:
    assert decision(outcomes, newest).next == next_


def test_equal_outcomes_beat_whatever_else_is_known() -> None:
    # Given equal outcomes and a complete checkpoint, in the last attempt, and no claim to be seen
    last = SAVED.model_copy(update={"attempt": 2})
    # When the attempt is closed, then it counts
    assert decision([STOPPED] * 3, last, claimed=set(), attempt=2) == Decision("continue")
    assert decision([FINISHED] * 3, last, claimed=set(), attempt=2) == Decision("finished")


def test_a_run_stopped_from_outside_says_so() -> None:
    assert decision([ASKED] * 3) == Decision("give_up", "RunStopped", "The run was stopped from outside.")


@pytest.mark.parametrize(("attempt", "max_attempts", "next_"), [(0, 1, "give_up"), (0, 2, "retry"), (1, 2, "give_up")])
def test_attempts_are_counted(attempt: int, max_attempts: int, next_: str) -> None:
    assert decision([LEFT, FAILED, LEFT], BEFORE, attempt=attempt, max_attempts=max_attempts).next == next_


@pytest.mark.parametrize(
    ("outcomes", "newest", "error", "reason"),
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
    outcomes: list[Outcome | None], newest: Checkpoint, error: str, reason: str
) -> None:
    cause = f"Lap 4 has failed 3 times, the last time because: {reason}"
    assert decision(outcomes, newest, attempt=2) == Decision("give_up", error, cause)


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


def test_what_no_attempt_can_mend_is_given_up_at_once() -> None:
    # Given a rank that found its data changed, on the first of three attempts
    changed = outcome("failed", 0, 0, error="JobError", cause="s3://b/x.npz has changed during the run.")
    # When the attempt is closed
    decided = decision([LEFT, changed, LEFT], BEFORE, attempt=0)
    # Then there is no second one, and the cause is the sentence
    assert decided == Decision("give_up", "JobError", "s3://b/x.npz has changed during the run.")


def test_a_worker_for_which_lambda_had_no_room_makes_the_gang_incomplete() -> None:
    # Given a rank that Lambda has refused to start until Step Functions stopped asking
    refused = outcome("failed", 0, 0, error="Lambda.TooManyRequestsException", cause="Rate Exceeded.")
    # When the attempt is closed, the first of three
    decided = decision([LEFT, LEFT, refused], BEFORE, claimed={0, 1}, attempt=0)
    # Then waiting thrice is spared, and the sentence says what to ask for
    assert (decided.next, decided.error) == ("give_up", "GangIncomplete")
    assert "Service Quotas" in decided.cause
