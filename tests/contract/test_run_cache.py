"""The cluster of a run's own, against the emulator; for states that it skips, against answers as AWS gives them."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from paytrain import store
from paytrain.control import open_cache as opening
from paytrain.control import sweep_caches as sweeping
from paytrain.control.environment import CloseEnvironment, SweepEnvironment
from paytrain.control.open_cache import WAIT_SECONDS, open_cache
from paytrain.control.reserve import first_pace, seconds_of_lap
from paytrain.control.sweep_caches import LEAVE_SECONDS, sweep_caches
from paytrain.errors import CacheNotOpened
from paytrain.job import Job
from paytrain.plan import Plan
from paytrain.run import Keys, cache_id_of
from paytrain.store import Artifacts
from tests.unit.plans import RESERVE, plan

BUCKET, PREFIX = "artifacts-of-caches", "paytrain-test"
PATIENT = 900.0


@pytest.fixture(scope="module", autouse=True)
def bucket(aws: None) -> Iterator[None]:
    store.client.cache_clear()
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    yield
    store.client.cache_clear()


@pytest.fixture
def run_id() -> Iterator[str]:
    run_id = f"run-{uuid.uuid4().hex}"
    yield run_id
    boto3.client("s3").delete_object(Bucket=BUCKET, Key=Keys(run_id).receipt)


def swept(
    machine: str = "arn:machine", patience: float = PATIENT, event: dict[str, Any] | None = None
) -> dict[str, Any]:
    names = {"RUN_TABLE": "runs", "ARTIFACTS_BUCKET": BUCKET, "CACHE_PREFIX": PREFIX, "STATE_MACHINE_ARN": machine}
    return sweep_caches(event or {}, SweepEnvironment.model_validate(names), lambda: patience)


def opened(state: dict[str, Any]) -> dict[str, Any]:
    return open_cache(state, CloseEnvironment.model_validate({"RUN_TABLE": "runs", "ARTIFACTS_BUCKET": BUCKET}))


class ElastiCache:
    """Answers as AWS describes them: a cluster's states in turn, the last one for ever.

    Deleting fails as long as the next description would not say ``available``.
    """

    def __init__(self, cache_id: str, *statuses: str, **more: Any) -> None:
        self.cache_id, self.more = cache_id, more
        self.statuses = list(statuses)
        self.deleted = False

    def describe_cache_clusters(self, **_: Any) -> dict[str, Any]:
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        cluster = {"CacheClusterId": self.cache_id, "CacheClusterStatus": status}
        return {"CacheClusters": [] if self.deleted else [cluster | self.more]}

    def get_paginator(self, _: str) -> "ElastiCache":
        return self

    def paginate(self) -> list[dict[str, Any]]:
        return [self.describe_cache_clusters()]

    def delete_cache_cluster(self, **_: Any) -> None:
        if self.statuses[0] != "available":
            raise ClientError({"Error": {"Code": "InvalidCacheClusterState"}}, "DeleteCacheCluster")
        self.deleted = True


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give the code under test these clients instead of those of the emulator; waiting takes no time."""

    def serve_clients(**clients: Any) -> None:
        real = store.client
        for module in (opening, sweeping):
            monkeypatch.setattr(module, "client", lambda service: clients.get(service) or real(service))
        monkeypatch.setattr(sweeping.time, "sleep", lambda _: None)

    return serve_clients


def test_a_cluster_that_is_available_is_put_into_the_plan(run_id: str) -> None:
    # given a run over Memcached, whose plan does not know where the cluster is
    cache_id = cache_id_of(PREFIX, run_id)
    planned = plan(run_id=run_id, cache_mode="per_execution", cache_id=cache_id)
    Artifacts(BUCKET).put(Keys(run_id).plan, planned)
    boto3.client("elasticache").create_cache_cluster(CacheClusterId=cache_id, Engine="memcached", NumCacheNodes=1)

    # when
    state = opened({"run_id": run_id, "cache_id": cache_id, "ranks": [0, 1, 2]})

    # then the state goes on, and nothing else of the plan has changed
    assert (state["cache"], state["ranks"]) == ("available", [0, 1, 2])
    stored = Plan.model_validate_json(Artifacts(BUCKET).get(Keys(run_id).plan))
    assert stored.cache_endpoint.endswith(":11211")
    assert stored.model_copy(update={"cache_endpoint": ""}) == planned
    boto3.client("elasticache").delete_cache_cluster(CacheClusterId=cache_id)


def test_the_endpoint_is_the_one_that_lists_the_nodes(run_id: str, serve: Callable[..., None]) -> None:
    # given AWS' description of a cluster with two nodes
    Artifacts(BUCKET).put(Keys(run_id).plan, plan(run_id=run_id))
    node = {"Endpoint": {"Address": "own.0001", "Port": 11211}}
    configuration = {"Address": "own.cfg", "Port": 11211}
    serve(elasticache=ElastiCache("own", "available", CacheNodes=[node, node], ConfigurationEndpoint=configuration))

    # when
    opened({"run_id": run_id, "cache_id": "own"})

    # then
    assert Plan.model_validate_json(Artifacts(BUCKET).get(Keys(run_id).plan)).cache_endpoint == "own.cfg:11211"


def test_a_cluster_is_waited_for_but_not_for_ever(run_id: str, serve: Callable[..., None]) -> None:
    # given a cluster that is being created
    Artifacts(BUCKET).put(Keys(run_id).plan, plan(run_id=run_id))
    serve(elasticache=ElastiCache("own", "creating"))

    # when, then
    first = opened({"run_id": run_id, "cache_id": "own"})
    assert first["cache"] == "creating"
    assert opened(first) == first
    with pytest.raises(CacheNotOpened, match=r"own, is creating after 20 minutes: .* or use channel = \"s3\"\."):
        opened({**first, "waiting_since": time.time() - WAIT_SECONDS - 1})


@pytest.mark.parametrize("status", ["create-failed", "incompatible-network", "deleting", "restore-failed"])
def test_a_cluster_that_will_not_come_is_not_waited_for(status: str, run_id: str, serve: Callable[..., None]) -> None:
    # given
    Artifacts(BUCKET).put(Keys(run_id).plan, plan(run_id=run_id))
    serve(elasticache=ElastiCache("own", status))

    # when, then
    with pytest.raises(CacheNotOpened, match=f"own, is {status} after 0 minutes"):
        opened({"run_id": run_id, "cache_id": "own"})


@pytest.mark.parametrize("status", ["creating", "available"])
def test_a_deadline_that_leaves_no_time_for_a_lap(status: str, run_id: str, serve: Callable[..., None]) -> None:
    # given a run with a deadline, which leaves half a minute more than a lap of one round and Finish take
    serve(elasticache=ElastiCache("own", status, ConfigurationEndpoint={"Address": "cache", "Port": 11211}))
    within = plan(run_id=run_id, job=Job(deadline_minutes=10))
    lap = seconds_of_lap(within, within.reserve.lap_seconds, first_pace(within), step=0)
    started = time.time() - (600 - lap - within.reserve.finish_seconds - 30)
    within = within.model_copy(update={"reserve": RESERVE.model_copy(update={"started": started})})
    Artifacts(BUCKET).put(Keys(run_id).plan, within)
    assert opened({"run_id": run_id, "cache_id": "own"})["cache"] == status

    # when a minute has passed
    later = RESERVE.model_copy(update={"started": started - 60})
    Artifacts(BUCKET).put(Keys(run_id).plan, within.model_copy(update={"reserve": later}))

    # then
    said = f"own, is {status} after 0 minutes, and deadline_minutes = 10 leaves no"
    with pytest.raises(CacheNotOpened, match=said):
        opened({"run_id": run_id, "cache_id": "own"})


@pytest.fixture
def machine() -> str:
    """A state machine in the emulator whose executions take ten minutes; returns its ARN."""
    name = f"machine-{uuid.uuid4().hex}"
    definition = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 600, "End": True}}}
    trust = {"Version": "2012-10-17", "Statement": []}
    role = boto3.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    made = boto3.client("stepfunctions").create_state_machine(
        name=name, definition=json.dumps(definition), roleArn=role["Arn"]
    )
    arn: str = made["stateMachineArn"]
    return arn


def started(machine: str, run_id: str) -> tuple[str, str]:
    """Start an execution that has a cluster; returns its ARN and the cluster's id."""
    execution = boto3.client("stepfunctions").start_execution(stateMachineArn=machine, name=run_id)["executionArn"]
    cache_id = cache_id_of(PREFIX, run_id)
    boto3.client("elasticache").create_cache_cluster(CacheClusterId=cache_id, Engine="memcached", NumCacheNodes=1)
    return execution, cache_id


def test_only_the_clusters_of_ended_executions_are_deleted(run_id: str, machine: str) -> None:
    # given two runs that are on
    execution, cache_id = started(machine, run_id)
    other_execution, other_cache_id = started(machine, f"{run_id}-other")

    # when, then
    assert swept(machine) == {"deleted": [], "left": []}

    # and when one has been stopped, and its receipt says that its workers have left
    boto3.client("stepfunctions").stop_execution(executionArn=execution)
    Artifacts(BUCKET).put(Keys(run_id).receipt, "{}")
    assert swept(machine) == {"deleted": [cache_id], "left": []}
    assert swept(machine) == {"deleted": [], "left": []}

    boto3.client("stepfunctions").stop_execution(executionArn=other_execution)
    boto3.client("elasticache").delete_cache_cluster(CacheClusterId=other_cache_id)


def test_a_run_that_was_just_stopped_keeps_its_cluster_until_its_workers_have_left(run_id: str, machine: str) -> None:
    # given
    execution, cache_id = started(machine, run_id)
    boto3.client("stepfunctions").stop_execution(executionArn=execution)

    # when there is no time to wait, then
    assert swept(machine, patience=1.0) == {"deleted": [], "left": [cache_id]}
    boto3.client("elasticache").delete_cache_cluster(CacheClusterId=cache_id)


def test_an_event_knows_more_than_a_list_that_is_late(run_id: str, machine: str) -> None:
    # given an execution that is listed as running, and an event that says that it has ended
    execution, cache_id = started(machine, run_id)
    Artifacts(BUCKET).put(Keys(run_id).receipt, "{}")

    # when, then
    event = {"detail-type": "Step Functions Execution Status Change", "detail": {"name": run_id, "status": "ABORTED"}}
    assert swept(machine, event=event) == {"deleted": [cache_id], "left": []}
    boto3.client("stepfunctions").stop_execution(executionArn=execution)


class StepFunctions:
    """Executions as AWS lists them: one that was stopped so many seconds ago, or none at all."""

    def __init__(self, ago: float | None) -> None:
        self.ago = ago

    def get_paginator(self, _: str) -> "StepFunctions":
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        return [{"executions": []}]

    def list_executions(self, **asked: Any) -> dict[str, Any]:
        if self.ago is None or asked["statusFilter"] != "ABORTED":
            return {"executions": []}
        return {"executions": [{"name": "run", "stopDate": datetime.now(UTC) - timedelta(seconds=self.ago)}]}


@pytest.mark.parametrize("ago", [LEAVE_SECONDS + 1, None])
def test_a_cluster_that_is_being_created_is_deleted_when_that_is_done(
    ago: float | None, serve: Callable[..., None]
) -> None:
    # given a run that was stopped long ago, and its cluster, which becomes available while it is looked at
    cache_id = cache_id_of(PREFIX, "run")
    cluster = ElastiCache(cache_id, "creating", "creating", "creating", "available")
    serve(elasticache=cluster, stepfunctions=StepFunctions(ago))

    # when, then
    assert swept() == {"deleted": [cache_id], "left": []}
    assert cluster.deleted


@pytest.mark.parametrize("cache_id", ["paytrain-test-by-hand", cache_id_of("paytrain-tester", "run"), "paytrain-test"])
def test_what_is_not_named_like_a_runs_cluster_is_left_alone(cache_id: str, serve: Callable[..., None]) -> None:
    # given
    cluster = ElastiCache(cache_id, "available")
    serve(elasticache=cluster, stepfunctions=StepFunctions(None))

    # when, then
    assert swept() == {"deleted": [], "left": []}
    assert not cluster.deleted


def test_a_cluster_that_is_being_deleted_is_left_alone(serve: Callable[..., None]) -> None:
    # given
    serve(elasticache=ElastiCache(cache_id_of(PREFIX, "run"), "deleting"), stepfunctions=StepFunctions(None))

    # when, then
    assert swept() == {"deleted": [], "left": []}
