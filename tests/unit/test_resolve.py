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
        "ARTIFACTS_BUCKET": "artifacts",
        "WORKER_FUNCTIONS": json.dumps({"1769": {"outside": "arn:outside"}, "3008": {"outside": "arn:large"}}),
        "JOB_DEFAULTS": json.dumps({"workers": 2}),
        "EXAMPLES": json.dumps(
            {"mnist": {"model": "s3://assets/m.keras", "train": "s3://assets/t.npz", "validation": "s3://assets/v.npz"}}
        ),
        "DATA_BUCKETS": json.dumps(["team-data"]),
    }
)


@dataclass
class Stores:
    """What Resolve has written, and how many functions the account may run at once."""

    concurrency: int = 10
    objects: dict[str, Any] = field(default_factory=dict)
    records: dict[str, Any] = field(default_factory=dict)

    def resolve(self, given: Any) -> dict[str, Any]:
        event = {"input": given, "execution": "run-1", "execution_arn": "arn:run-1", "started": "2026-11-24T10:00:00Z"}
        return resolve(event, ENVIRONMENT)

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
    assert state == {"run_id": "run-1", "single_function": "arn:outside"}
    assert stores.records["run"]["single_function"] == "arn:outside"


def test_objects_of_ones_own(stores: Stores) -> None:
    # Given a model in the artifacts bucket and data in one that the deployment lists
    stores.resolve({"model": "s3://artifacts/my.keras", "data": "s3://team-data/train/", "memory_mb": 3008})
    # Then they are taken as they are
    job = stores.objects["runs/run-1/job.json"]
    assert (job.model, job.data) == ("s3://artifacts/my.keras", Data(train="s3://team-data/train/"))


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
    stores.concurrency = 1000
    stores.resolve({"workers": 1000})
    assert stores.objects["runs/run-1/job.json"].workers == 1000
