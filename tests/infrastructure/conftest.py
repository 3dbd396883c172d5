"""Synthesised forms of the stack; each takes seconds, so each is made once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from examples import build
from tests.infrastructure.templates import CONTEXT, Synthesised, synthesise

Synthesiser = Callable[..., Synthesised]

KEY = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"


@pytest.fixture(scope="package", autouse=True)
def small_examples(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Files that stand in for the examples: their content is not what is tested here."""
    folder = tmp_path_factory.mktemp("examples")
    names = {"model": "mnist.keras", "train": "mnist-train.npz", "validation": "mnist-test.npz"}
    for role, name in names.items():
        (folder / name).write_text(role)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "ensure", lambda: {"mnist": {role: folder / name for role, name in names.items()}})
        yield


@pytest.fixture(scope="package")
def synthesise_with(small_examples: None, tmp_path_factory: pytest.TempPathFactory) -> Synthesiser:
    """Synthesise with context values beside those of cdk.json."""

    def synthesise_context(**context: Any) -> Synthesised:
        everything = {**CONTEXT, **context}
        folder: Path = tmp_path_factory.mktemp("cdk")
        return synthesise(cdk.App(context=everything, outdir=str(folder)), everything)

    return synthesise_context


@pytest.fixture(scope="package")
def aws(synthesise_with: Synthesiser) -> Synthesised:
    """What plain `cdk deploy` deploys."""
    return synthesise_with()


@pytest.fixture(scope="package")
def twin(synthesise_with: Synthesiser) -> Synthesised:
    """What the laptop twin gets."""
    return synthesise_with(packaging="zip")


@pytest.fixture(scope="package")
def without_cache(synthesise_with: Synthesiser) -> Synthesised:
    """Without a Memcached cluster."""
    return synthesise_with(cache_mode="none")


@pytest.fixture(scope="package")
def with_express(synthesise_with: Synthesiser) -> Synthesised:
    """With a directory bucket, and without a cache."""
    return synthesise_with(availability_zone_id="use1-az4", cache_mode="none")


@pytest.fixture(scope="package")
def own_caches(synthesise_with: Synthesiser) -> Synthesised:
    """With a Memcached cluster for each run that asks for one."""
    return synthesise_with(cache_mode="per_execution")


@pytest.fixture(scope="package")
def codebuild(synthesise_with: Synthesiser) -> Synthesised:
    """With the worker's image built in the account."""
    return synthesise_with(image_build="codebuild")


@pytest.fixture(scope="package")
def notifying(synthesise_with: Synthesiser) -> Synthesised:
    """With somebody who is told how a run has ended."""
    return synthesise_with(notify_email="me@example.com", cache_mode="none")


@pytest.fixture(scope="package")
def with_everything(synthesise_with: Synthesiser) -> Synthesised:
    """As much as the settings allow of what takes room, and data that goes with the stack."""
    return synthesise_with(
        data_buckets=[f"{letter * 63}={KEY}" for letter in "abcdefghij"],
        worker_memory_sizes=[1769, 3008, 4096, 5120, 8192, 10240],
        removal_policy="destroy",
        tmp_mb=10240,
    )
