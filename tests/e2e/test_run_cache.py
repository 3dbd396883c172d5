"""A Memcached cluster of the run's own: made when it is needed, gone whatever becomes of the run."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import keras
import pytest

from paytrain.run import Items, Keys, cache_id_of
from tests.e2e import counting, small
from tests.e2e.deployment import POLL_SECONDS, RUN_SECONDS, Deployment, Run, npz

STAGE = "own"


@pytest.fixture(scope="module")
def own(deployed: Callable[..., Deployment]) -> Deployment:
    """A stack without a cluster, whose runs may make one each."""
    return deployed(
        STAGE, cache_mode="per_execution", cache_node_type="cache.t4g.medium", peer_timeout_seconds=20, max_attempts=2
    )


@pytest.fixture(scope="module")
def job(own: Deployment, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    train, validation = small.data()
    return small.job(
        own.upload("uploads/own.keras", small.model_bytes(tmp_path_factory.mktemp("model"))),
        own.upload("uploads/own-train.npz", npz(*train)),
        own.upload("uploads/own-validation.npz", npz(*validation)),
        channel="memcached",
    )


def clusters() -> list[dict[str, Any]]:
    """The clusters that runs of the stack have, as ElastiCache describes them."""
    found = boto3.client("elasticache").describe_cache_clusters()["CacheClusters"]
    return [cluster for cluster in found if cluster["CacheClusterId"].startswith(f"paytrain-{STAGE}-")]


def is_training(snapshot: Any) -> bool:
    return bool(snapshot.progress.get("step", 0) > 10)


def test_a_run_has_a_cluster_only_while_it_trains_and_pays_whole_hours(own: Deployment, job: dict[str, Any]) -> None:
    # given
    assert clusters() == []
    execution = own.start(job | {"epochs": 20})

    # when
    own.wait(execution, until=is_training)
    (cluster,) = clusters()
    tags = boto3.client("elasticache").list_tags_for_resource(ResourceName=cluster["ARN"])["TagList"]
    run = Run(own.stack, execution.run_id, own.wait(execution))

    # then
    assert cluster["CacheClusterId"] == cache_id_of(f"paytrain-{STAGE}", run.run_id)
    assert {tag["Key"]: tag["Value"] for tag in tags} == {
        "application": "paytrain",
        "stage": STAGE,
        "execution": own.stack.execution_arn(run.run_id),
    }
    assert run.receipt["channel"] == "memcached"
    assert clusters() == []
    (hours,) = [line for line in run.receipt["lines"] if line["service"] == "ElastiCache"]
    assert (hours["item"], hours["quantity"], hours["unit"]) == ("cache.t4g.medium", 1, "node-hours")
    assert counting.billed_transitions(run.receipt) == counting.transitions(own.stack.execution_arn(run.run_id))


def test_the_bits_are_those_of_a_run_that_needs_no_cluster(own: Deployment, job: dict[str, Any]) -> None:
    # given, when
    cached, plain = own.run(job), own.run(job | {"channel": "auto"})

    # then a run that does not ask for Memcached goes over S3, and makes no cluster
    assert (cached.receipt["channel"], plain.receipt["channel"]) == ("memcached", "s3")
    assert cached.receipt["weights_sha256"] == plain.receipt["weights_sha256"]
    assert "CreateCache" not in [state.name for state in plain.snapshot.states]
    assert counting.billed_transitions(plain.receipt) == counting.transitions(own.stack.execution_arn(plain.run_id))
    assert clusters() == []


def test_a_run_that_fails_leaves_a_model_and_no_cluster(own: Deployment, job: dict[str, Any], tmp_path: Path) -> None:
    # given, when
    run = own.run(job | {"learning_rate": 1e37, "checkpoint_every": 1})

    # then
    assert run.snapshot.status == "FAILED"
    assert "learning_rate" in run.snapshot.cause
    assert [state.name for state in run.snapshot.states][-2:] == ["CloseCacheOfFailure", "Salvage"]
    assert isinstance(run.model(tmp_path), keras.Model)
    assert counting.billed_transitions(run.json("receipt")) == counting.transitions(own.stack.execution_arn(run.run_id))
    assert clusters() == []


def test_a_run_that_is_stopped_from_outside_leaves_a_model_of_its_last_step_and_no_cluster(
    own: Deployment, job: dict[str, Any], tmp_path: Path
) -> None:
    # given
    execution = own.start(job | {"epochs": 200})
    own.wait(execution, until=is_training)
    assert len(clusters()) == 1

    # when
    execution.stop()
    run = Run(own.stack, execution.run_id, own.wait(execution))

    # then its workers could finish their round over the cache before that went
    assert run.snapshot.status == "ABORTED"
    wait_for(lambda: not clusters())
    assert own.has(Keys(run.run_id).receipt)
    outcomes = run.table.outcomes(0, 0).values()
    assert [outcome.status for outcome in outcomes] == ["stopped"] * small.WORKERS
    receipt = run.json("receipt")
    assert receipt["stopped_by"] == "asked"
    assert {receipt["steps"]} == {outcome.step for outcome in outcomes}
    assert isinstance(run.model(tmp_path), keras.Model)


def test_the_sweep_leaves_running_runs_and_others_clusters_alone(own: Deployment, job: dict[str, Any]) -> None:
    # given a run that trains, and clusters of somebody else
    elasticache = boto3.client("elasticache")
    others = [f"paytrain-{STAGE}-by-hand", f"paytrain-{STAGE}er-0123456789abcdef"]
    for name in others:
        elasticache.create_cache_cluster(CacheClusterId=name, Engine="memcached", NumCacheNodes=1)
    execution = own.start(job | {"epochs": 200})
    own.wait(execution, until=is_training)
    before = sorted(cluster["CacheClusterId"] for cluster in elasticache.describe_cache_clusters()["CacheClusters"])

    # when
    answer = boto3.client("lambda").invoke(FunctionName=sweeper(), Payload=b"{}")
    after = sorted(cluster["CacheClusterId"] for cluster in elasticache.describe_cache_clusters()["CacheClusters"])

    # then
    assert answer["Payload"].read() == b'{"deleted": [], "left": []}'
    assert after == before

    # and when the run is stopped, its cluster goes, and the others stay
    execution.stop()
    wait_for(lambda: [cluster["CacheClusterId"] for cluster in clusters()] == others[:1])
    for name in others:
        elasticache.delete_cache_cluster(CacheClusterId=name)
    table = Run(own.stack, execution.run_id, own.wait(execution)).table
    wait_for(lambda: table.get(Items.FINAL) is not None)


def sweeper() -> str:
    """Name of the function that sweeps."""
    resources = boto3.client("cloudformation").describe_stack_resources(StackName=f"paytrain-{STAGE}")["StackResources"]
    (name,) = [
        str(resource["PhysicalResourceId"])
        for resource in resources
        if resource["ResourceType"] == "AWS::Lambda::Function"
        and resource["LogicalResourceId"].startswith("Functionssweepcaches")
    ]
    return name


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is true; it must become so."""
    deadline = time.monotonic() + RUN_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it has not become true"
        time.sleep(POLL_SECONDS)
