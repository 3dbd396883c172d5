"""Budget and deadline: what a run may still do so that its end is paid for."""

from typing import Any

import pytest

from paytrain.control.close_lap import Decision, decide, usd_of_attempt
from paytrain.control.reserve import refuse_too_little, reserve_of, usd_of_round
from paytrain.errors import JobError
from paytrain.exchange.votes import Vote
from paytrain.job import Job
from paytrain.limits import limits_reached, seconds_until_limits
from paytrain.plan import Plan
from paytrain.planner.exchange import Exchange
from paytrain.run import Checkpoint, Outcome
from tests.unit.plans import RESERVE, plan, prepared, spent

STARTED = RESERVE.started
BUDGET = 0.01
AT_END = 0.005 + 0.003 + 0.00002 + 0.001 + 0.0011
"""60 s after the start with $0.005 spent, and 30 s and 2 rounds more: of the gang, the channel, the end, and the cache
for 110 s."""


def limited(**job: Any) -> Plan:
    return plan(job=Job(**job))


def reached(limits: Plan, seconds: float = 30.0) -> Vote:
    return limits_reached(limits, usd=0.005, now=STARTED + 60, seconds=seconds, rounds=2, round_usd=0.00001)


@pytest.mark.parametrize(
    ("job", "votes"),
    [
        ({}, Vote.GO_ON),
        ({"budget_usd": AT_END + 1e-6}, Vote.GO_ON),
        ({"budget_usd": AT_END - 1e-6}, Vote.BUDGET),
        # 60 s have gone, 30 s are asked for, 20 s are for Finish.
        ({"deadline_minutes": 110.1 / 60}, Vote.GO_ON),
        ({"deadline_minutes": 109.9 / 60}, Vote.DEADLINE),
        ({"budget_usd": AT_END - 1e-6, "deadline_minutes": 1}, Vote.BUDGET | Vote.DEADLINE),
    ],
)
def test_a_run_goes_on_while_its_end_is_paid_for(job: dict[str, Any], votes: Vote) -> None:
    assert reached(limited(**job)) == votes


def test_a_cache_of_the_runs_own_is_paid_for_by_whole_hours() -> None:
    # Given the same run over a cluster of its own, of $0.036 an hour
    hour = AT_END - 0.0011 + 0.036
    within, beyond = [plan(job=Job(budget_usd=budget), cache_id="own") for budget in (hour + 1e-6, hour - 1e-6)]
    # Then 110 s of it cost as much as an hour
    assert (reached(within), reached(beyond)) == (Vote.GO_ON, Vote.BUDGET)


def test_every_second_more_brings_the_limit_nearer() -> None:
    going_on = [reached(limited(budget_usd=BUDGET), seconds) == Vote.GO_ON for seconds in range(60)]
    assert going_on == sorted(going_on, reverse=True)
    assert set(going_on) == {True, False}


def test_finish_evaluates_while_money_and_time_are_left() -> None:
    now = STARTED + 100
    # Given $0.004 left at $0.00004 a second, or 20 s until the deadline
    assert seconds_until_limits(limited(budget_usd=0.014), usd=0.01, now=now) == pytest.approx(100)
    assert seconds_until_limits(limited(deadline_minutes=2), usd=0.01, now=now) == pytest.approx(20)
    assert seconds_until_limits(limited(budget_usd=0.014, deadline_minutes=2), usd=0.01, now=now) == pytest.approx(20)
    assert seconds_until_limits(limited(), usd=0.01, now=now) == float("inf")


PACE = {"step": 0.5, "exchange": 1.0, "save": 2.0}
"""A lap of one round takes 10 s to start, then 1.5 s, a checkpoint of 2 s and a margin of 1 s."""
LAP_SECONDS = 14.5


def test_a_budget_that_pays_for_no_lap_is_refused_with_the_smallest_that_does() -> None:
    # Given a run that has cost $0.002 after 30 s
    with pytest.raises(JobError) as refused:
        refuse_too_little(limited(budget_usd=0.002), PACE, usd=0.002, now=STARTED + 30)
    # Then a lap of 14.5 s, a round, the end, and the cache for 64.5 s are asked for
    needed = 0.002 + 0.0002 + LAP_SECONDS * 0.0001 + 0.00001 + 0.001 + 64.5 * 0.00001
    assert needed == pytest.approx(0.005305)
    assert str(refused.value) == (
        "budget_usd = 0.002 is not allowed: preparing has cost $0.0020, and one lap of one round and the export of a "
        "model would cost about $0.0033; it must be at least 0.0054."
    )
    # And that smallest one is taken
    refuse_too_little(limited(budget_usd=0.0054), PACE, usd=0.002, now=STARTED + 30)


def test_a_deadline_that_no_lap_can_keep_is_refused_with_the_smallest_that_can_be_kept() -> None:
    with pytest.raises(JobError) as refused:
        refuse_too_little(limited(deadline_minutes=1), PACE, usd=0.002, now=STARTED + 30)
    assert str(refused.value) == (
        "deadline_minutes = 1 is not allowed: one lap of one round and the export of a model end about 1.1 minutes "
        "after the start; it must be at least 1.1."
    )
    refuse_too_little(limited(deadline_minutes=1.1), PACE, usd=0.002, now=STARTED + 30)


def test_the_end_is_taken_to_last_as_long_as_prepare_and_the_evaluation() -> None:
    # Given a Prepare of 12 s with its start, a save of 0.5 s, and 640 rows to evaluate in batches that take 0.1 s
    reserve = reserve_of(
        prepared=prepared(validation_samples=640, step_seconds=0.1, save_seconds=0.5),
        prepare=spent("prepare", init_seconds=5.0, seconds=7.0),
        workers=4,
        memory_mb=2048,
        batch_size=64,
        started=STARTED,
        cache_usd_per_hour=0.036,
        round_usd=0.0,
    )
    # Then there are 5 s for what lies between
    assert reserve.finish_seconds == pytest.approx(12 + 0.5 + 1.0 + 5.0)
    assert reserve.lap_seconds == 12
    assert reserve.gang_usd_per_second == pytest.approx(4 * reserve.finish_usd_per_second)
    assert reserve.finish_usd > reserve.finish_seconds * reserve.finish_usd_per_second
    assert reserve.cache_usd_per_second == pytest.approx(0.00001)


@pytest.mark.parametrize(
    ("channel", "costs"), [("s3", True), ("s3express", True), ("dynamodb", True), ("memcached", False)]
)
def test_requests_of_a_round(channel: str, costs: bool) -> None:
    usd = [usd_of_round(Exchange(channel, "scatter_reduce", workers, 1000)) for workers in (1, 2, 4)]
    assert usd[0] == 0
    assert (usd[2] > usd[1] > 0) == costs


SAVED, BEFORE = Checkpoint(step=20, lap=1, attempt=0), Checkpoint(step=10, lap=0, attempt=0)


def closed(votes: Vote, limits: Vote, last: Checkpoint = SAVED, **outcome: Any) -> Decision:
    ended = {"lap": 1, "attempt": 0, "status": "stopped", "step": 20, "votes": votes} | outcome
    outcomes = {rank: Outcome(rank=rank, **ended) for rank in range(3)}
    return decide(plan(), outcomes, {last}, {0, 1, 2}, 1, 0, limits)


@pytest.mark.parametrize(
    ("votes", "limits", "stopped_by"),
    [
        (Vote.BUDGET, Vote.GO_ON, "budget"),
        (Vote.DEADLINE | Vote.TIME, Vote.GO_ON, "deadline"),
        # The lap ended for its own time, and another one would not be paid for.
        (Vote.TIME, Vote.BUDGET, "budget"),
        (Vote.TIME, Vote.DEADLINE, "deadline"),
    ],
)
def test_a_limit_ends_the_run_at_the_laps_checkpoint(votes: Vote, limits: Vote, stopped_by: str) -> None:
    assert closed(votes, limits) == Decision(next="finished", checkpoint=SAVED, stopped_by=stopped_by)


def test_a_lap_that_failed_is_not_tried_again_beyond_the_limit() -> None:
    # Given a lap that failed, and a checkpoint from before
    failed = {"status": "failed", "error": "Killed", "cause": "No memory.", "step": 0}
    # When another attempt is not paid for, then the run ends with what there is
    assert closed(Vote.GO_ON, Vote.BUDGET, BEFORE, **failed) == Decision(
        next="finished", checkpoint=BEFORE, stopped_by="budget"
    )
    # And without a step done it says why there is nothing
    zero = Checkpoint(step=0, lap=0, attempt=0)
    given_up = closed(Vote.GO_ON, Vote.BUDGET, zero, **failed)
    assert (given_up.next, given_up.error) == ("give_up", "Killed")
    assert given_up.cause == (
        "Lap 1 has failed before its first checkpoint, and its budget allows no other attempt: rank 0: No memory."
    )


def test_workers_that_died_without_a_record_are_paid_for_as_long_as_their_attempt_took() -> None:
    # Given an attempt of 3 workers of which one left a record, 60 s ago
    alone = usd_of_attempt(plan(workers=1), [spent("lap")], 60)
    # Then two thirds of the gang's 60 s come on top
    with_lost = usd_of_attempt(plan(workers=3), [spent("lap")], 60)
    assert with_lost - alone == pytest.approx(2 / 3 * (60 * 0.0001 + 0.0002))
