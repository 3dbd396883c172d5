"""The context: what `-c key=value` means, what is refused and in which words, and where defaults are written."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from paytrain.job import Job
from stacks.settings import Settings, SettingsError, read_settings
from tests.infrastructure.templates import CONTEXT, ROOT


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("workers", "8", 8),
        ("shuffle", "false", False),
        ("stage", "prod", "prod"),
        ("worker_memory_sizes", "1769, 3008,10240", [1769, 3008, 10240]),
        ("worker_memory_sizes", "1769", [1769]),
        ("worker_memory_sizes", "[1769]", [1769]),
        ("data_buckets", "my-data,other", ["my-data", "other"]),
        ("data_buckets", "", []),
        ("learning_rate", "1e-3", 0.001),
        ("learning_rate", "null", None),
        ("learning_rate", '{"class_name": "CosineDecay"}', {"class_name": "CosineDecay"}),
        ("checkpoint_every", "5", 5),
        ("checkpoint_every", "auto", "auto"),
        ("data", "example:mnist", "example:mnist"),
    ],
)
def test_text_of_the_command_line_becomes_the_type_of_its_key(key: str, text: str, value: Any) -> None:
    # given a value as `cdk deploy -c` passes it, when read, then it has the key's type
    assert getattr(read_settings({key: text}), key) == value


def test_objects_can_be_given_as_json() -> None:
    # given
    context = {"data": '{"train": "s3://my-data/train.npz"}', "early_stopping": '{"patience": 2}'}

    # when
    defaults = read_settings(context).job_defaults()

    # then
    assert defaults["data"] == {"train": "s3://my-data/train.npz", "validation": None}
    assert defaults["early_stopping"]["patience"] == 2


@pytest.mark.parametrize(
    ("context", "sentence"),
    [
        ({"workers": "1001"}, "workers = 1001 is not allowed: it must be a whole number from 1 to 1000."),
        ({"workers": "many"}, 'workers = "many" is not allowed: it must be a whole number from 1 to 1000.'),
        ({"shuffle": "no"}, 'shuffle = "no" is not allowed: it must be true or false.'),
        ({"stage": "Prod"}, 'stage = "Prod" is not allowed: it must be a string like "dev" or "prod".'),
        ({"packaging": "docker"}, 'packaging = "docker" is not allowed: it must be "image" or "zip".'),
        (
            {"worker_memory_sizes": "1769,64"},
            "worker_memory_sizes.1 = 64 is not allowed: it must be a whole number from 128 to 10240.",
        ),
        (
            {"worker_memory_sizes": "1769,1769"},
            "worker_memory_sizes = [1769, 1769] is not allowed: name each size once.",
        ),
        (
            {"worker_timeout_seconds": "901"},
            "worker_timeout_seconds = 901 is not allowed: it must be a whole number from 10 to 900.",
        ),
        ({"data_buckets": "My_Data"}, 'data_buckets.0 = "My_Data" is not allowed: it must be a string like "my-data".'),
        ({"memory_mb": "2048"}, "memory_mb = 2048 is not allowed: worker_memory_sizes has 1769, 3008."),
        (
            {"removal_policy": "destroy", "packaging": "zip"},
            'removal_policy = "destroy" is not allowed with packaging = "zip": stop the twin instead.',
        ),
        (
            {"channel": "memcached", "cache_mode": "none"},
            'channel = "memcached" is not allowed: cache_mode = "none" has no cache; choose another of the two.',
        ),
    ],
)
def test_a_refusal_names_key_value_and_what_is_allowed(context: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        read_settings(context)

    assert str(refusal.value) == sentence


@pytest.mark.parametrize(
    ("key", "value", "some_of_the_allowed"),
    [
        ("log_retention_days", "31", "30, 60, 90"),
        ("cache_node_type", "cache.z9.huge", "cache.t4g.micro, cache.t4g.small"),
        ("worker", "4", "worker_timeout_seconds, workers."),
    ],
)
def test_a_refusal_lists_what_is_allowed(key: str, value: str, some_of_the_allowed: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        read_settings({key: value})

    assert str(refusal.value).startswith(f"{key} ")
    assert some_of_the_allowed in str(refusal.value)


def test_keys_of_cdk_itself_are_ignored() -> None:
    # given keys that CDK reads, and those that its command line leaves in a project
    cdk_keys = ["@aws-cdk/core:x", "@aws-cdk-containers/y:z", "@cdklabs/a", "aws:cdk:b", "aws-cdk:c", "cdk-migrate"]

    # when, then
    assert read_settings(dict.fromkeys([*cdk_keys, "cli-telemetry"], True)) == Settings()


def test_the_app_refuses_in_one_line_and_without_a_traceback() -> None:
    # given a context with a slip of the pen
    environment = {**os.environ, "CDK_CONTEXT_JSON": json.dumps({"wrokers": 4})}

    # when
    done = subprocess.run([sys.executable, "app.py"], cwd=ROOT, env=environment, capture_output=True, text=True)

    # then
    assert done.returncode == 1
    assert "wrokers is not a key of a deployment: allowed are " in done.stderr
    assert "Traceback" not in done.stderr


def test_cdk_json_has_every_key_with_its_default() -> None:
    # given what is written in cdk.json
    written = {key: value for key, value in CONTEXT.items() if not key.startswith("@")}

    # when, then
    assert written == Settings().model_dump(mode="json")


def test_the_documents_have_every_key_with_its_default() -> None:
    # given the rows of the tables
    lines = (ROOT / "docs" / "parameters.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]

    # when
    documented = {key.strip("`"): default.strip("`") for key, default, *_ in rows}

    # then
    assert documented == {key: _shown(value) for key, value in Settings().model_dump(mode="json").items()}
    assert all(allowed and meaning for _, _, allowed, meaning in rows)


def test_every_key_of_the_job_is_a_key_of_the_context() -> None:
    # given the job's own defaults, when merged with nothing, then the deployment's are the same
    assert Settings().job_defaults() == Job().model_dump(mode="json")


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)
