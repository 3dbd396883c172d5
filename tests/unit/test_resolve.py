"""Resolve refuses what cannot work before anything is stored, and names examples' objects."""

import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel

from paytrain.control import resolve as resolve_module
from paytrain.control.environment import ResolveEnvironment
from paytrain.control.resolve import resolve
from paytrain.errors import JobError
from paytrain.job import Data, Job

ENVIRONMENT = ResolveEnvironment.model_validate(
    {
        "RUN_TABLE": "runs",
        "AWS_REGION": "eu-west-1",
        "ARTIFACTS_BUCKET": "artifacts",
        "WORKER_FUNCTIONS": json.dumps({"1769": {"outside": "arn:outside"}, "3008": {"outside": "arn:large"}}),
        "JOB_DEFAULTS": json.dumps({"workers": 2}),
        "EXAMPLES": json.dumps(
            {"mnist": {"model": "s3://assets/m.keras", "train": "s3://assets/t.npz", "validation": "s3://assets/v.npz"}}
        ),
        "DATA_BUCKETS": json.dumps(["team-data"]),
        "MAX_WORKERS": "500",
        "CHANNELS": json.dumps(["s3", "dynamodb"]),
    }
)


@dataclass
class Stores:
    """What Resolve has written and looked at, and how many functions the account may run at once."""

    concurrency: int = 10
    objects: dict[str, Any] = field(default_factory=dict)
    records: dict[str, Any] = field(default_factory=dict)
    looked_at: list[tuple[str, str, str]] = field(default_factory=list)
    size_bytes: int = 1000

    def resolve(self, given: Any) -> dict[str, Any]:
        event = {"input": given, "execution": "run-1", "execution_arn": "arn:run-1", "started": "2026-11-24T10:00:00Z"}
        return resolve(event, ENVIRONMENT)

    def look(self, *what: str) -> int:
        self.looked_at.append((what[0], what[1], what[2]))
        return self.size_bytes

    def put(self, key: str, value: BaseModel | dict[str, Any]) -> None:
        (self.objects if "/" in key else self.records)[key] = value


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> Stores:
    stores = Stores()
    settings = SimpleNamespace(
        get_account_settings=lambda: {"AccountLimit": {"ConcurrentExecutions": stores.concurrency}}
    )
    monkeypatch.setattr(resolve_module, "Artifacts", lambda bucket: stores)
    monkeypatch.setattr(resolve_module, "RunTable", lambda table, run_id: stores)
    monkeypatch.setattr(resolve_module, "client", lambda service: settings)
    monkeypatch.setattr(resolve_module.sources, "refuse_model", stores.look)
    monkeypatch.setattr(resolve_module.sources, "refuse_data", stores.look)
    return stores


@pytest.mark.parametrize("given", [{}, {"Comment": "Insert your JSON here"}])
def test_nothing_given_means_the_example(stores: Stores, given: dict[str, Any]) -> None:
    # When an execution starts with nothing
    state = stores.resolve(given)
    # Then the deployment's job is stored, with the example's objects in the names' place
    assert stores.objects["runs/run-1/job.json"] == Job(
        workers=2,
        model="s3://assets/m.keras",
        data=Data(train="s3://assets/t.npz", validation="s3://assets/v.npz"),
    )
    assert state == {"run_id": "run-1", "single_function": "arn:outside", "calibrate": False}
    assert stores.records["run"]["single_function"] == "arn:outside"
    assert stores.looked_at == [], "the examples are deployed with the stack"


def test_objects_of_ones_own(stores: Stores) -> None:
    # Given a model in the artifacts bucket and data in one that the deployment lists
    stores.resolve({"model": "s3://artifacts/my.keras", "data": "s3://team-data/train/", "memory_mb": 3008})
    # Then they are taken as they are
    job = stores.objects["runs/run-1/job.json"]
    assert (job.model, job.data) == ("s3://artifacts/my.keras", Data(train="s3://team-data/train/"))
    # And looked at before anything is spent
    assert stores.looked_at == [
        ("model", "s3://artifacts/my.keras", "eu-west-1"),
        ("data.train", "s3://team-data/train/", "eu-west-1"),
    ]


BUCKETS = "its bucket must be one of artifacts, team-data (context key data_buckets adds more)."


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"epochs": 0}, "epochs = 0 is not allowed: it must be a whole number from 1 to 100000."),
        ({"model": "s3://other/m.keras"}, f'model = "s3://other/m.keras" is not allowed: {BUCKETS}'),
        ({"data": "s3://other/t.npz"}, f'data = "s3://other/t.npz" is not allowed: {BUCKETS}'),
        ({"data": {"train": "s3://other/t.npz"}}, f'data.train = "s3://other/t.npz" is not allowed: {BUCKETS}'),
        (
            {"data": {"train": "s3://team-data/t.npz", "validation": "s3://artifacts-2/v.npz"}},
            f'data.validation = "s3://artifacts-2/v.npz" is not allowed: {BUCKETS}',
        ),
        ({"model": "example:cifar"}, 'model = "example:cifar" is not allowed: the examples are example:mnist.'),
        ({"data": "example:cifar"}, 'data = "example:cifar" is not allowed: the examples are example:mnist.'),
        ({"memory_mb": 2048}, "memory_mb = 2048 is not allowed: worker functions are deployed with 1769, 3008."),
        (
            {"channel": "memcached"},
            'channel = "memcached" is not allowed: the stack was deployed with cache_mode = none.',
        ),
        (
            {"channel": "s3express"},
            'channel = "s3express" is not allowed: the stack was deployed without availability_zone_id.',
        ),
        (
            {"workers": 501},
            "workers = 501 is not allowed: this deployment runs at most 500 (context key max_workers).",
        ),
        (
            {"workers": 11},
            "workers = 11 is not allowed: this account runs at most 10 functions at once "
            "(Service Quotas, AWS Lambda, Concurrent executions).",
        ),
    ],
)
def test_what_cannot_work_is_refused_and_leaves_nothing(stores: Stores, given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(JobError) as refused:
        stores.resolve(given)
    assert str(refused.value) == sentence
    assert (stores.objects, stores.records) == ({}, {})


def test_as_many_workers_as_the_account_can_run(stores: Stores) -> None:
    stores.concurrency = 500
    stores.resolve({"workers": 500})
    assert stores.objects["runs/run-1/job.json"].workers == 500


def test_files_larger_than_the_memory_are_refused_before_anybody_reads_them(stores: Stores) -> None:
    # Given a model and two data sets of 500 MB each
    stores.size_bytes = 500 * 2**20
    given = {"model": "s3://artifacts/m.keras", "data": {"train": "s3://artifacts/t", "validation": "s3://artifacts/v"}}
    # When they are to be trained with 1,769 MB, then that is refused, and more memory is allowed
    with pytest.raises(JobError) as refused:
        stores.resolve(given)
    assert str(refused.value) == (
        "memory_mb = 1769 is not allowed: a worker needs at least 2,168 MB (model 500, data 1,000, TensorFlow 668); "
        "it must be 3008."
    )
    assert stores.resolve(given | {"memory_mb": 3008})["single_function"] == "arn:large"


@pytest.mark.parametrize("given", [{"calibrate": True}, {"calibrate": True, "Comment": "measure"}])
def test_a_calibration_has_workers_and_no_job(stores: Stores, given: dict[str, Any]) -> None:
    # Given a deployment whose usual memory has no function, when a calibration is asked for
    told = stores.resolve(given)
    # Then the smallest worker measures, outside if there is none inside, and nothing is stored
    expected = {"single_function": "arn:outside", "function": "arn:outside", "calibrate": True}
    assert told == {"run_id": "run-1", **expected}
    assert not stores.objects
    assert not stores.records


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"calibrate": False}, "calibrate = false is not allowed: it must be true, and stand alone."),
        ({"calibrate": 1}, "calibrate = 1 is not allowed: it must be true, and stand alone."),
        (
            {"calibrate": True, "workers": 2, "epochs": 1},
            "calibrate = true beside epochs, workers is not allowed: it must be true, and stand alone.",
        ),
    ],
)
def test_a_calibration_stands_alone(stores: Stores, given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(JobError) as refusal:
        stores.resolve(given)
    assert str(refusal.value) == sentence


def test_what_is_left_to_the_planner_is_bounded_by_deployment_and_account(stores: Stores) -> None:
    # Given an account that runs 10 functions at once
    stores.concurrency = 10
    # When neither workers nor memory are pinned
    state = stores.resolve({"workers": "auto", "memory_mb": "auto"})
    # Then Prepare gets the largest function, and Plan the bound
    assert state["single_function"] == "arn:large"
    assert stores.records["run"]["most_workers"] == 10
    stores.concurrency = 1000
    stores.resolve({"workers": "auto"})
    assert stores.records["run"]["most_workers"] == 500
