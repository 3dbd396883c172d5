"""The context: what `-c key=value` means, what is refused and in which words, and where defaults are written."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from paytrain.job import Job
from stacks.settings import Settings, SettingsError, read_settings
from tests.infrastructure.conftest import KEY
from tests.infrastructure.templates import CONTEXT, ROOT

A_BUCKET = 'it must be a string like "my-data" or "my-data=arn:aws:kms:us-east-1:123456789012:key/abcd1234"'


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
        ("data_buckets", f"my-data,other={KEY}", ["my-data", f"other={KEY}"]),
        ("data_buckets", f'["my-data", "other={KEY}"]', ["my-data", f"other={KEY}"]),
        ("data_buckets", f'{{"my-data": null, "other": "{KEY}"}}', ["my-data", f"other={KEY}"]),
        ("notify_email", "me@example.com", "me@example.com"),
        ("notify_email", "null", None),
        ("max_workers", "16", 16),
        ("image_build", "codebuild", "codebuild"),
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
        ({"workers": "1001"}, 'workers = 1001 is not allowed: it must be a whole number from 1 to 1000 or "auto".'),
        ({"workers": "many"}, 'workers = "many" is not allowed: it must be a whole number from 1 to 1000 or "auto".'),
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
        (
            {"worker_memory_sizes": "100"},
            "worker_memory_sizes.0 = 100 is not allowed: it must be a whole number from 128 to 10240.",
        ),
        (
            {"memory_mb": "100"},
            'memory_mb = 100 is not allowed: it must be a whole number from 128 to 10240 or "auto".',
        ),
        ({"tmp_mb": "10241"}, "tmp_mb = 10241 is not allowed: it must be a whole number from 512 to 10240."),
        ({"data_buckets": "My_Data"}, f'data_buckets.0 = "My_Data" is not allowed: {A_BUCKET}.'),
        ({"data_buckets": "my-data=alias/key"}, f'data_buckets.0 = "my-data=alias/key" is not allowed: {A_BUCKET}.'),
        ({"data_buckets": '{"my-data": 3}'}, f'data_buckets.0 = "my-data=3" is not allowed: {A_BUCKET}.'),
        (
            {"data_buckets": f"my-data,my-data={KEY}"},
            "data_buckets is not allowed to name my-data twice: give each bucket once.",
        ),
        ({"image_build": "kaniko"}, 'image_build = "kaniko" is not allowed: it must be "docker" or "codebuild".'),
        (
            {"architecture": "riscv"},
            'architecture = "riscv" is not allowed: it must be "x86_64", "arm64" or "auto".',
        ),
        (
            {"notify_email": "me"},
            'notify_email = "me" is not allowed: it must be a string like "me@example.com" or null.',
        ),
        ({"max_workers": "1001"}, "max_workers = 1001 is not allowed: it must be a whole number from 1 to 1000."),
        ({"workers": "8", "max_workers": "4"}, "workers = 8 is not allowed: max_workers is 4."),
        ({"memory_mb": "2048"}, "memory_mb = 2048 is not allowed: worker_memory_sizes has 1769, 3008."),
        (
            {"removal_policy": "destroy", "packaging": "zip"},
            'removal_policy = "destroy" is not allowed with packaging = "zip": stop the twin instead.',
        ),
        (
            {"channel": "s3express"},
            'channel = "s3express" is not allowed: availability_zone_id must say where its bucket is.',
        ),
        (
            {"availability_zone_id": "us-east-1a"},
            'availability_zone_id = "us-east-1a" is not allowed: it must be a string like "use1-az4" or "euw1-az1" or '
            "null.",
        ),
        (
            {"availability_zone_id": "use1-az4", "packaging": "zip"},
            'availability_zone_id = "use1-az4" is not allowed with packaging = "zip": the laptop twin has no '
            "directory buckets.",
        ),
        (
            {"channel": "memcached", "cache_mode": "none"},
            'channel = "memcached" is not allowed: cache_mode = "none" has no cache; choose another of the two.',
        ),
        (
            {"stage": "a--b", "cache_mode": "per_execution"},
            'stage = "a--b" is not allowed with cache_mode = "per_execution": clusters are named after it, and their '
            "names have no hyphens in a row.",
        ),
    ],
)
def test_a_refusal_names_key_value_and_what_is_allowed(context: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        read_settings(context)

    assert str(refusal.value) == sentence


def test_runs_may_ask_for_memcached_where_each_has_its_own_cache() -> None:
    settings = read_settings({"channel": "memcached", "cache_mode": "per_execution"})

    assert settings.has_cache


@pytest.mark.parametrize(
    ("key", "value", "some_of_the_allowed"),
    [
        ("log_retention_days", "31", "30, 60, 90"),
        ("cache_mode", "sometimes", '"provisioned", "per_execution" or "none"'),
        ("cache_node_type", "cache.z9.huge", "cache.t4g.micro, cache.t4g.small"),
        # Its price is known, its network is not: it could be billed, but not planned with.
        ("cache_node_type", "cache.r7g.xlarge", "cache.r7g.large"),
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


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("worker_timeout_seconds=901", "worker_timeout_seconds = 901 is not allowed: it must be"),
        ("channel=memcached", 'cache_mode = "none" has no cache'),
    ],
)
def test_cdk_synth_itself_ends_with_the_sentence(given: str, sentence: str, tmp_path: Path) -> None:
    # given the command line as users have it in an activated venv
    cdk = ["cdk", "synth", "--quiet", "--no-notices", "--output", str(tmp_path), "-c", "cache_mode=none", "-c", given]

    # when
    done = subprocess.run(cdk, cwd=ROOT, capture_output=True, text=True)

    # then
    assert done.returncode != 0
    assert sentence in done.stderr
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
