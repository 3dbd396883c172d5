"""A laptop twin of the tests' own, with the real stack deployed by the real CDK."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from local.deploy import deploy
from local.twin import Twin
from paytrain import store
from tests.e2e.deployment import LAP_SECONDS, Deployment
from tests.servers import free_port

CACHE_HOST = f"127.77.{os.getpid() % 250 + 1}.1"


FAR_BUCKET, ABSENT_BUCKET = "paytrain-tests-far", "paytrain-tests-absent"
MAIN = {
    "peer_timeout_seconds": 20,
    "max_attempts": 2,
    "data_buckets": f"{FAR_BUCKET},{ABSENT_BUCKET}",
    "cache_node_type": "cache.t4g.medium",
}
"""Context of the main stack: what makes failures short, and buckets that cannot be used."""


@pytest.fixture(scope="package")
def twin() -> Iterator[Twin]:
    before = dict(os.environ)
    started = Twin(free_port(), CACHE_HOST)
    started.start()
    started.use()
    boto3.setup_default_session()
    store.client.cache_clear()
    yield started
    store.client.cache_clear()
    started.stop()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="package")
def deployed(twin: Twin) -> Callable[..., Deployment]:
    """Deploy a stack of its own for a stage, with the context given."""

    def deploy_stage(stage: str, **context: Any) -> Deployment:
        pairs = [("packaging", "zip"), ("stage", stage), *((key, str(value)) for key, value in context.items())]
        deploy(twin, f"paytrain-{stage}", pairs)
        return Deployment(stage)

    return deploy_stage


@pytest.fixture(scope="package")
def main(deployed: Callable[..., Deployment]) -> Deployment:
    """The stack with its defaults, but for a few."""
    return deployed("main", **MAIN)


@pytest.fixture(scope="package")
def short(deployed: Callable[..., Deployment]) -> Deployment:
    """A stack whose workers are killed after seconds."""
    return deployed("short", worker_timeout_seconds=LAP_SECONDS, peer_timeout_seconds=8)
