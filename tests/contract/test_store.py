"""The run table: who writes first is heard, also when its answer was lost."""

import boto3

from paytrain.run import Items, Outcome
from paytrain.store import RunTable


def test_only_the_first_claim_counts(table: RunTable) -> None:
    claim = Items.claim(0, 0, 3)

    assert table.put_once(claim, {"by": "one"})
    assert not table.put_once(claim, {"by": "other"})

    assert table.get(claim) == {"by": "one"}
    assert table.claimed_ranks(0, 0) == {3}


def test_a_claim_that_finds_itself_is_no_others(table: RunTable) -> None:
    # given: a write that arrived, but whose answer did not, so that the client sends it again
    claim = Items.claim(0, 0, 3)
    table.put_once(claim, {"by": "one"})

    # then
    assert table.put_once(claim, {"by": "one"})


def test_a_worker_taken_for_dead_does_not_replace_what_was_recorded(table: RunTable, runs_table: str) -> None:
    # given: a worker that Step Functions has given up and recorded, and that is still there
    outcome = Outcome(lap=2, attempt=1, rank=1, status="left", step=0)
    key = {"run_id": {"S": table._run_id}, "item": {"S": Items.outcome(2, 1, 1)}}
    died = {"error": {"S": "Lambda.Unknown"}, "cause": {"S": "no answer"}}
    boto3.client("dynamodb").put_item(TableName=runs_table, Item={**key, **died})

    # when, then
    assert not table.put_once(Items.outcome(2, 1, 1), outcome)
    assert table.outcomes(2, 1)[1].error == "Lambda.Unknown"


def test_outcomes_of_workers_and_of_the_state_machine_are_read_alike(table: RunTable, runs_table: str) -> None:
    # given: a worker that stopped, and one that died, whose error Step Functions has written
    stopped = Outcome(lap=2, attempt=1, rank=0, status="stopped", step=20, votes=1)
    table.put_once(Items.outcome(2, 1, 0), stopped)
    died = {"error": "Lambda.Unknown", "cause": '{"errorMessage": "Runtime exited: signal: killed", "errorType": "X"}'}
    item = {"run_id": table._run_id, "item": Items.outcome(2, 1, 1), **died}
    boto3.client("dynamodb").put_item(TableName=runs_table, Item={name: {"S": text} for name, text in item.items()})

    # when
    outcomes = table.outcomes(2, 1)

    # then
    assert outcomes[0] == stopped
    assert (outcomes[1].status, outcomes[1].rank, outcomes[1].lap) == ("failed", 1, 2)
    assert outcomes[1].cause == "Runtime exited: signal: killed"
    assert table.outcomes(2, 10) == {}
