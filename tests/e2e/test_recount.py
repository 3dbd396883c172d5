"""The receipt, recounted: what the emulator and memcached have seen is what the run is billed for, one by one."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import keras
import pytest

from local import servers
from local.deploy import deploy
from local.twin import Twin
from paytrain import store
from tests.e2e import counting, small
from tests.e2e.deployment import Deployment, Run, npz
from tests.servers import free_port

WORKERS, SAMPLES = 2, 200
CACHE_HOST = f"127.78.{os.getpid() % 250 + 1}.1"


@dataclass(frozen=True)
class Counted:
    """A deployment whose functions reach the emulator through a counting proxy."""

    deployment: Deployment
    requests: counting.Requests


@pytest.fixture(scope="module")
def counted() -> Iterator[Counted]:
    """A twin of this module's own: only its functions are told of the proxy."""
    before = dict(os.environ)
    twin = Twin(free_port(), CACHE_HOST)
    with counting.proxy(twin.port) as (url, requests):
        environment = {name: value for name, value in before.items() if not name.startswith("AWS_")}
        environment.pop("PYTHONPATH", None)
        try:
            servers.start_cache(twin.folder, twin.cache_host)
            servers.start_emulator(twin.folder, twin.port, twin.cache_host, {**environment, "AWS_ENDPOINT_URL": url})
            twin.use()
            store.client.cache_clear()
            deploy(twin, "paytrain-counted", [("packaging", "zip"), ("stage", "counted")])
            yield Counted(Deployment("counted"), requests)
        finally:
            twin.stop()
            store.client.cache_clear()
            os.environ.clear()
            os.environ.update(before)
            boto3.setup_default_session()


@pytest.fixture(scope="module")
def job(counted: Counted, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    (x, y), (validation_x, validation_y) = small.data()
    model = keras.Sequential(
        [keras.layers.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax")]
    )
    model.compile(keras.optimizers.SGD(0.001), "sparse_categorical_crossentropy", metrics=["accuracy"])
    path: Path = tmp_path_factory.mktemp("model") / "model.keras"
    model.save(path)
    upload = counted.deployment.upload
    return small.job(
        upload("uploads/counted.keras", path.read_bytes()),
        upload("uploads/counted-train.npz", npz(x[:SAMPLES], y[:SAMPLES])),
        upload("uploads/counted-validation.npz", npz(validation_x[:50], validation_y[:50])),
        workers=WORKERS,
        checkpoint_every=3,
    )


@pytest.mark.parametrize(
    ("channel", "pattern"), [("s3", "scatter_reduce"), ("dynamodb", "all_gather"), ("memcached", "leader")]
)
def test_the_receipt_is_what_the_services_have_counted(
    counted: Counted, job: dict[str, Any], channel: str, pattern: str
) -> None:
    # given
    invoked, commands = counting.invocations("/paytrain-counted/"), counting.memcached_commands(CACHE_HOST)
    counted.requests.clear()

    # when
    run = counted.deployment.run(job | {"channel": channel, "pattern": pattern})

    # then: every request of S3 and DynamoDB, by kind, of storage and of the exchange
    bill = Counter({(line["item"], line["unit"]): line["quantity"] for line in run.receipt["lines"]})
    stack = counted.deployment.stack
    exchange_bucket, exchange_table = exchange_of(run)
    others = {where for service, where, _ in counted.requests.counts if service == "s3"} - {exchange_bucket}
    for kind in ("PUT", "GET", "HEAD", "LIST"):
        stored = sum(counted.requests.of("s3", bucket, kind) for bucket in others)
        assert (kind, bill[f"storage {kind}", "requests"]) == (kind, stored)
        assert (kind, bill[f"exchange {kind}", "requests"]) == (kind, counted.requests.of("s3", exchange_bucket, kind))
    for kind in ("read", "write"):
        assert (kind, bill[f"storage {kind}s", "units"]) == (
            kind,
            counted.requests.of("dynamodb", stack.run_table, kind),
        )
        assert (kind, bill[f"exchange {kind}s", "units"]) == (
            kind,
            counted.requests.of("dynamodb", exchange_table, kind),
        )

    # and every command of memcached
    after = counting.memcached_commands(CACHE_HOST)
    assert bill["exchange Memcached add", "requests"] == after["set"] - commands["set"]
    assert bill["exchange Memcached get", "requests"] == after["get"] - commands["get"]

    # and every invocation, by function
    invocations = counting.invocations("/paytrain-counted/") - invoked
    billed = Counter({item: quantity for (item, unit), quantity in bill.items() if unit == "requests"})
    assert {name: invocations[name] for name in ("resolve", "plan", "close_lap")} == {
        name: billed[name] for name in ("resolve", "plan", "close_lap")
    }
    workers = sum(count for name, count in invocations.items() if name.startswith("worker-"))
    assert workers == billed["prepare"] + billed["workers"] + billed["finish"] == WORKERS + 2

    # and every state that was entered
    assert counting.billed_transitions(run.receipt) == counting.transitions(stack.execution_arn(run.run_id))

    # and the channel was used at all
    assert any(quantity for (item, _), quantity in bill.items() if item.startswith("exchange"))


def exchange_of(run: Run) -> tuple[str, str]:
    """Names of the exchange's bucket and table, from the stack's outputs and resources."""
    resources = boto3.client("cloudformation").list_stack_resources(StackName="paytrain-counted")
    names = {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in resources["StackResourceSummaries"]}
    (bucket,) = [
        name
        for key, name in names.items()
        if key.startswith("StorageExchange") and "Table" not in key and "Policy" not in key
    ]
    (table,) = [name for key, name in names.items() if key.startswith("StorageExchangeTable")]
    return bucket, table
