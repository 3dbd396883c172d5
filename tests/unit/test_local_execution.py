import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import boto3
import pytest
from botocore.stub import Stubber

from local.execution import Execution

STARTED = datetime(2026, 1, 1, tzinfo=UTC)
ARN = "arn:aws:states:us-east-1:000000000000:execution:paytrain:run"
TYPES = {"Lap": "MapStateEntered", "HowToGoOn": "ChoiceStateEntered"}


def entered(event_id, name):
    return {
        "id": event_id,
        "timestamp": STARTED + timedelta(seconds=event_id),
        "type": TYPES.get(name, "TaskStateEntered"),
        "stateEnteredEventDetails": {"name": name},
    }


def other(event_id):
    return {"id": event_id, "timestamp": STARTED, "type": "TaskSucceeded"}


@pytest.fixture
def cloud():
    """Step Functions and DynamoDB that give prepared answers only."""
    keys = {"region_name": "us-east-1", "aws_access_key_id": "a", "aws_secret_access_key": "b"}
    steps, dynamodb = boto3.client("stepfunctions", **keys), boto3.client("dynamodb", **keys)
    with Stubber(steps) as steps_stub, Stubber(dynamodb) as dynamodb_stub:
        stack = SimpleNamespace(stepfunctions=steps, dynamodb=dynamodb, run_table="runs", execution_arn=lambda _: ARN)
        yield SimpleNamespace(stack=stack, steps=steps_stub, dynamodb=dynamodb_stub)
        steps_stub.assert_no_pending_responses()
        dynamodb_stub.assert_no_pending_responses()


def answer(cloud, pages, status="RUNNING", record=None, **described):
    base = {"executionArn": ARN, "stateMachineArn": ARN, "startDate": STARTED, "status": status}
    cloud.steps.add_response("describe_execution", {**base, **described})
    for page in pages:
        cloud.steps.add_response("get_execution_history", page)
    item = {"Item": {"record": {"S": json.dumps(record)}}} if record else {}
    key = {"run_id": {"S": "run"}, "item": {"S": "progress"}}
    cloud.dynamodb.add_response("get_item", item, {"TableName": "runs", "Key": key})


def test_every_state_that_works_is_seen_once_and_in_order(cloud):
    execution = Execution(cloud.stack, "run")
    first = [entered(5, "Lap"), other(4), entered(3, "Prepare")]
    second = [entered(9, "Lap"), entered(8, "HowToGoOn"), entered(7, "CloseLap"), other(6), *first]

    answer(cloud, [{"events": [*first[:1]], "nextToken": "more"}, {"events": first[1:]}])
    assert [state.name for state in execution.poll().states] == ["Prepare", "Lap"]

    answer(cloud, [{"events": second}])
    assert [state.name for state in execution.poll().states] == ["Prepare", "Lap", "CloseLap", "Lap"]

    answer(cloud, [{"events": second}])
    assert len(execution.poll().states) == 4


def test_history_is_read_no_further_than_needed(cloud):
    execution = Execution(cloud.stack, "run")
    answer(cloud, [{"events": [entered(2, "Resolve")]}])
    execution.poll()

    # A second page is offered; the stub would complain if it were asked for.
    answer(cloud, [{"events": [entered(4, "Plan"), entered(2, "Resolve")], "nextToken": "older"}])

    assert [state.name for state in execution.poll().states] == ["Resolve", "Plan"]


def test_the_progress_is_what_rank_0_wrote(cloud):
    answer(cloud, [{"events": []}], record={"step": 7})

    assert Execution(cloud.stack, "run").poll().progress == {"step": 7}


def test_a_failed_execution_says_why(cloud):
    answer(cloud, [{"events": []}], status="FAILED", stopDate=STARTED, error="JobError", cause="epochs = 0")

    snapshot = Execution(cloud.stack, "run").poll()

    assert (snapshot.status, snapshot.cause, snapshot.progress) == ("FAILED", "epochs = 0", {})
