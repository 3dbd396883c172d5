"""The execution input becomes a job, or one sentence that names the key, the value and what is allowed."""

from typing import Any

import pytest

from paytrain.errors import JobError
from paytrain.job import Data, EarlyStopping, Job, parse_job

SCHEDULE = '{"class_name": "CosineDecay", "config": {"decay_steps": 1000, "initial_learning_rate": 0.1}}'

REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        {"epoch": 3},
        "epoch is not a key of a job: allowed are batch_size, budget_usd, channel, checkpoint_every, data, "
        "deadline_minutes, early_stopping, epochs, learning_rate, memory_mb, model, pattern, seed, shuffle, "
        "sync_every, wire, workers.",
    ),
    (
        {"data": {"train": "s3://bucket/train.npz", "test": "s3://bucket/test.npz"}},
        "data.test is not a key of a job: allowed in data are train, validation.",
    ),
    (
        {"early_stopping": {"monitor": "loss", "mode": "min"}},
        "early_stopping.mode is not a key of a job: allowed in early_stopping are min_delta, monitor, patience.",
    ),
    ({"epochs": "3"}, 'epochs = "3" is not allowed: it must be a whole number from 1 to 100000.'),
    ({"epochs": 1.5}, "epochs = 1.5 is not allowed: it must be a whole number from 1 to 100000."),
    ({"epochs": True}, "epochs = true is not allowed: it must be a whole number from 1 to 100000."),
    ({"epochs": None}, "epochs = null is not allowed: it must be a whole number from 1 to 100000."),
    ({"epochs": [3]}, "epochs = [3] is not allowed: it must be a whole number from 1 to 100000."),
    ({"epochs": {"n": 3}}, 'epochs = {"n": 3} is not allowed: it must be a whole number from 1 to 100000.'),
    ({"epochs": 0}, "epochs = 0 is not allowed: it must be a whole number from 1 to 100000."),
    ({"workers": 0}, 'workers = 0 is not allowed: it must be a whole number from 1 to 1000 or "auto".'),
    ({"workers": -1}, 'workers = -1 is not allowed: it must be a whole number from 1 to 1000 or "auto".'),
    ({"workers": 1001}, 'workers = 1001 is not allowed: it must be a whole number from 1 to 1000 or "auto".'),
    ({"batch_size": 0}, "batch_size = 0 is not allowed: it must be a whole number from 1 to 1000000."),
    ({"seed": -1}, "seed = -1 is not allowed: it must be a whole number from 0 to 9223372036854775807."),
    ({"memory_mb": 20_000}, 'memory_mb = 20000 is not allowed: it must be a whole number from 128 to 10240 or "auto".'),
    ({"shuffle": 1}, "shuffle = 1 is not allowed: it must be true or false."),
    (
        {"channel": "redis"},
        'channel = "redis" is not allowed: it must be "auto", "s3", "s3express", "dynamodb" or "memcached".',
    ),
    (
        {"pattern": "ring"},
        'pattern = "ring" is not allowed: it must be "auto", "all_gather", "scatter_reduce", "hierarchical" '
        'or "leader".',
    ),
    (
        {"wire": "int4"},
        'wire = "int4" is not allowed: it must be "auto", "float32", "float64", "bfloat16", "float16", "int8" '
        'or "topk".',
    ),
    (
        {"sync_every": 4, "wire": "int8"},
        'sync_every = 4 is not allowed: with wire = "int8" it must be 1: rounding could turn the optimizer\'s second '
        "moments negative; for local steps choose float32 or float64.",
    ),
    (
        {"model": "s3://bucket/model.h5"},
        'model = "s3://bucket/model.h5" is not allowed: it must be a .keras file, '
        'as model.save("name.keras") writes it.',
    ),
    (
        {"epochs": 0, "data": {"test": 1}, "wrkers": 3},
        'data.train is missing from the job: it must be a string like "s3://bucket/train.npz". '
        "(Wrong, too: epochs, wrkers.)",
    ),
    (
        {"model": "https://bucket.com/model.keras"},
        'model = "https://bucket.com/model.keras" is not allowed: '
        'it must be a string like "s3://bucket/name.keras" or "example:mnist".',
    ),
    (
        {"model": 3},
        'model = 3 is not allowed: it must be a string like "s3://bucket/name.keras" or "example:mnist".',
    ),
    (
        {"data": 3},
        "data = 3 is not allowed: it must be an object (train, validation) "
        'or a string like "s3://bucket/train.npz" or "example:mnist".',
    ),
    (
        {"data": "http://bucket/train.npz"},
        'data = "http://bucket/train.npz" is not allowed: it must be an object (train, validation) '
        'or a string like "s3://bucket/train.npz" or "example:mnist".',
    ),
    (
        {"data": {"train": "http://bucket/train.npz"}},
        'data.train = "http://bucket/train.npz" is not allowed: it must be a string like "s3://bucket/train.npz".',
    ),
    (
        {"data": {"train": "s3://bucket/train.npz", "validation": 0}},
        'data.validation = 0 is not allowed: it must be a string like "s3://bucket/train.npz" or null.',
    ),
    (
        {"data": {"validation": "s3://bucket/validation.npz"}},
        'data.train is missing from the job: it must be a string like "s3://bucket/train.npz".',
    ),
    (
        {"learning_rate": float("nan")},
        f"learning_rate = NaN is not allowed: it must be a finite number above 0, an object like {SCHEDULE} or null.",
    ),
    (
        {"learning_rate": 0},
        f"learning_rate = 0 is not allowed: it must be a finite number above 0, an object like {SCHEDULE} or null.",
    ),
    (
        {"learning_rate": "fast"},
        'learning_rate = "fast" is not allowed: '
        f"it must be a finite number above 0, an object like {SCHEDULE} or null.",
    ),
    (
        {"early_stopping": True},
        "early_stopping = true is not allowed: it must be an object (monitor, patience, min_delta) or null.",
    ),
    (
        {"early_stopping": {"patience": -1}},
        "early_stopping.patience = -1 is not allowed: it must be a whole number of at least 0.",
    ),
    (
        {"early_stopping": {"min_delta": "0.1"}},
        'early_stopping.min_delta = "0.1" is not allowed: it must be a finite number of at least 0.',
    ),
    (
        {"checkpoint_every": 0},
        'checkpoint_every = 0 is not allowed: it must be a whole number of at least 1 or "auto".',
    ),
    (
        {"checkpoint_every": "never"},
        'checkpoint_every = "never" is not allowed: it must be a whole number of at least 1 or "auto".',
    ),
]


@pytest.mark.parametrize("given", [{}, {"Comment": "Insert your JSON here"}])
def test_the_console_may_start_without_a_thought(given: dict[str, Any]) -> None:
    # Given the console's sample or nothing, and a deployment that changes some defaults
    # When it is parsed
    job = parse_job(given, {"workers": 2, "early_stopping": {"patience": 3}})
    # Then the job is the deployment's
    assert job == Job(workers=2, early_stopping=EarlyStopping(patience=3))


def test_what_is_given_beats_the_deployment() -> None:
    # Given keys in both
    given = {"epochs": 7, "data": {"train": "s3://bucket/train/"}, "learning_rate": {"class_name": "CosineDecay"}}
    # When the input is parsed
    job = parse_job(given, {"epochs": 1, "workers": 2, "data": "example:mnist"})
    # Then each key is taken whole from the input, or else from the deployment
    assert (job.epochs, job.workers) == (7, 2)
    assert job.data == Data(train="s3://bucket/train/")
    assert job.learning_rate == {"class_name": "CosineDecay"}


@pytest.mark.parametrize(("given", "expected"), REFUSED, ids=[str(given) for given, _ in REFUSED])
def test_what_cannot_be_is_refused_in_one_sentence(given: dict[str, Any], expected: str) -> None:
    # Given an impossible input, when it is parsed
    with pytest.raises(JobError) as refused:
        parse_job(given, {})
    # Then the sentence names the key, the value and what is allowed
    assert str(refused.value) == expected


@pytest.mark.parametrize(
    ("given", "shown"), [([{"epochs": 3}], '[{"epochs": 3}]'), ("epochs=3", '"epochs=3"'), (None, "null"), (3, "3")]
)
def test_an_input_that_is_no_object(given: Any, shown: str) -> None:
    with pytest.raises(JobError) as refused:
        parse_job(given, {})
    assert str(refused.value) == f'The execution input must be a JSON object such as {{"epochs": 3}}, not {shown}.'


def test_a_long_value_is_shown_by_its_beginning() -> None:
    with pytest.raises(JobError) as refused:
        parse_job({"model": "x" * 10_000}, {})
    assert len(str(refused.value)) < 300
    assert str(refused.value).startswith('model = "xxx')


def test_every_key_is_explained() -> None:
    # Given that the job's keys are also context keys with a description each
    undescribed = [name for name, field in Job.model_fields.items() if not field.description]
    assert Job.model_fields
    assert undescribed == []


def test_a_job_survives_its_record() -> None:
    # Given a job with something in every key that is empty by default
    job = parse_job(
        {
            "data": {"train": "s3://bucket/train.npz", "validation": "s3://bucket/validation.npz"},
            "early_stopping": {"monitor": "val_accuracy"},
            "learning_rate": 0.1,
            "checkpoint_every": 10,
        },
        {},
    )
    # When it is written to S3 and read again, then it is the same
    assert Job.model_validate_json(job.model_dump_json()) == job
