"""A deployment while a run is on, and one that takes the cache away.

The run is held in its first attempt, one rank of which the test has claimed: however long a deployment takes, it falls
into the run. When the test lets go, the attempt is given up and the next one runs on the stack as it is then.
"""

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from local.execution import Execution
from paytrain.run import Items, Outcome
from paytrain.store import RunTable
from tests.e2e import small
from tests.e2e.deployment import Deployment, Run, npz

STAGE = "update"
HELD_RANK = small.WORKERS - 1

Deploy = Callable[..., Deployment]


@pytest.fixture(scope="module")
def deploy(deployed: Deploy) -> Deploy:
    """Deploy the module's stack with patient gangs and the context given."""

    def deploy_with(**context: Any) -> Deployment:
        settings = {"gang_timeout_seconds": 600, "max_attempts": 2, "notify_email": "me@example.com", **context}
        return deployed(STAGE, **settings)

    return deploy_with


@pytest.fixture(scope="module")
def job(deploy: Deploy, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A job whose model and data are in the module's stack."""
    deployment = deploy()
    train, validation = small.data()
    return small.job(
        deployment.upload("uploads/update.keras", small.model_bytes(tmp_path_factory.mktemp("model"), "own_state")),
        deployment.upload("uploads/update-train.npz", npz(*train)),
        deployment.upload("uploads/update-validation.npz", npz(*validation)),
        epochs=1,
    )


@pytest.fixture(scope="module")
def subjects(job: dict[str, Any]) -> Callable[[], list[str]]:
    """Take the subjects of the messages that have been published since the last time."""
    sqs, sns = boto3.client("sqs"), boto3.client("sns")
    queue = sqs.create_queue(QueueName="told")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sending = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = {"Version": "2012-10-17", "Statement": [{**sending, "Resource": arn}]}
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(policy)})
    resources = boto3.client("cloudformation").describe_stack_resources(StackName=f"paytrain-{STAGE}")["StackResources"]
    (topic,) = [r["PhysicalResourceId"] for r in resources if r["ResourceType"] == "AWS::SNS::Topic"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)

    def take() -> list[str]:
        answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=5)
        received = answer.get("Messages", [])
        for message in received:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"])["Subject"] for message in received]

    return take


@pytest.fixture(scope="module")
def undisturbed(deploy: Deploy, job: dict[str, Any], subjects: Callable[[], list[str]]) -> Run:
    """The run as it is when nothing happens."""
    run = deploy().run(job)
    assert run.receipt["attempts"] == 1
    assert subjects() == [f"paytrain {run.run_id} succeeded"]
    return run


def test_a_run_goes_on_with_the_versions_it_began_with(deploy: Deploy, job: dict[str, Any], undisturbed: Run) -> None:
    # given a run in its first attempt
    deployment = deploy()
    execution = held(deployment, job)

    # when the stack is updated
    updated = deploy(tmp_mb=1024)
    assert execution.poll().status == "RUNNING"
    run = let_go(deployment, execution)

    # then its next attempt has the functions it began with, and its result is the same; the next run has the new ones
    functions = [r.json("plan")["function"] for r in (undisturbed, run, updated.run(job))]
    assert run.receipt["attempts"] == 2
    assert run.receipt["weights_sha256"] == undisturbed.receipt["weights_sha256"]
    assert functions[1] == functions[0]
    assert functions[2] != functions[0]


def test_taking_the_cache_away_ends_a_run_over_it_with_a_model_and_leaves_the_rest(
    deploy: Deploy, job: dict[str, Any], undisturbed: Run, subjects: Callable[[], list[str]]
) -> None:
    # given a run over the cache
    deployment = deploy(tmp_mb=1024)
    execution = held(deployment, job)
    subjects()

    # when the cache goes, and with it the functions inside the VPC
    without = deploy(tmp_mb=1024, cache_mode="none")
    cut_off = let_go(deployment, execution)

    # then the run fails with a reason, and what it paid for is there
    assert cut_off.snapshot.status == "FAILED"
    assert "rank 0" in cut_off.snapshot.cause
    assert cut_off.json("receipt")["status"] == "failed"
    assert without.has(f"runs/{cut_off.run_id}/model.keras")
    assert subjects() == [f"paytrain {cut_off.run_id} failed"]

    # and the next one goes over S3, with the same bits; over the cache again when that is back
    runs = [undisturbed, without.run(job), deploy(tmp_mb=1024).run(job)]
    assert [run.receipt["channel"] for run in runs] == ["memcached", "s3", "memcached"]
    assert len({run.receipt["weights_sha256"] for run in runs}) == 1


def held(deployment: Deployment, job: dict[str, Any]) -> Execution:
    """Start a run and act as the worker of one of its ranks, so that the others wait."""
    execution = deployment.start(job)
    RunTable(deployment.stack.run_table, execution.run_id).put_once(Items.claim(0, 0, HELD_RANK), {"by": "the test"})
    deployment.wait(execution, until=lambda snapshot: any(entered.name == "Lap" for entered in snapshot.states))
    return execution


def let_go(deployment: Deployment, execution: Execution) -> Run:
    """Leave the first attempt, and let the others leave; the run is tried again."""
    table = RunTable(deployment.stack.run_table, execution.run_id)
    left = Outcome(lap=0, attempt=0, rank=HELD_RANK, status="left", step=0, error="PeerLost", cause="The test let go.")
    table.put_once(Items.outcome(0, 0, HELD_RANK), left)
    table.put_once(Items.abort(0, 0), {"rank": HELD_RANK})
    return Run(deployment.stack, execution.run_id, deployment.wait(execution))
