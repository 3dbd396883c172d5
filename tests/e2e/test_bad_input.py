"""Whatever is wrong with the input, a run ends before a worker starts, with a sentence that says what to change."""

import io
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import keras
import numpy as np
import pytest

from local.twin import ROOT, Twin
from paytrain.run import Items, Keys
from tests.e2e import small
from tests.e2e.conftest import ABSENT_BUCKET, FAR_BUCKET, MAIN
from tests.e2e.deployment import Deployment, npz

FAR_REGION = "eu-west-1"


@dataclass(frozen=True)
class Refused:
    """A case: ``<name>`` stands for a file's URI.

    Attributes
    ----------
    changed
        Of a job that would run.
    by
        The state that refuses it.
    sentence
        The whole cause; where Keras or NumPy have their say in it, ``…`` stands for that.
    """

    changed: Any
    by: str
    sentence: str


NOT_KEYS = (
    "allowed are batch_size, budget_usd, channel, checkpoint_every, data, deadline_minutes, early_stopping, epochs, "
    "learning_rate, memory_mb, model, pattern, seed, shuffle, sync_every, wire, workers."
)
COUNT = "it must be a whole number from 1 to"
PLAIN = "it must be an .npz of plain numbers"
FOLDER = "it must be an .npz object or a folder of them, and there is no .npz object below"
KERAS_FILE = 'it must be a .keras file, as model.save("name.keras") writes it.'
RATE = (
    'a finite number above 0, an object like {"class_name": "CosineDecay", "config": {"decay_steps": 1000, '
    '"initial_learning_rate": 0.1}} or null.'
)

CASES = {
    # The input itself.
    "a list": Refused(
        [1, 2], "Resolve", 'The execution input must be a JSON object such as {"epochs": 3}, not [1, 2].'
    ),
    "unknown key": Refused({"epoch": 3}, "Resolve", f"epoch is not a key of a job: {NOT_KEYS}"),
    "unknown key in data": Refused(
        {"data": {"train": "<train>", "test": "<train>"}},
        "Resolve",
        "data.test is not a key of a job: allowed in data are train, validation.",
    ),
    "unknown key in early_stopping": Refused(
        {"early_stopping": {"monitr": "loss"}},
        "Resolve",
        "early_stopping.monitr is not a key of a job: allowed in early_stopping are min_delta, monitor, patience.",
    ),
    "wrong type": Refused({"epochs": "3"}, "Resolve", f'epochs = "3" is not allowed: {COUNT} 100000.'),
    "fraction": Refused({"batch_size": 1.5}, "Resolve", f"batch_size = 1.5 is not allowed: {COUNT} 1000000."),
    "several keys": Refused(
        {"epochs": 0, "workers": 0, "chanel": "s3"},
        "Resolve",
        f"epochs = 0 is not allowed: {COUNT} 100000. (Wrong, too: workers, chanel.)",
    ),
    "no workers": Refused({"workers": 0}, "Resolve", f'workers = 0 is not allowed: {COUNT} 1000 or "auto".'),
    "negative workers": Refused({"workers": -1}, "Resolve", f'workers = -1 is not allowed: {COUNT} 1000 or "auto".'),
    "too many workers": Refused(
        {"workers": 1001}, "Resolve", f'workers = 1001 is not allowed: {COUNT} 1000 or "auto".'
    ),
    "unknown channel": Refused(
        {"channel": "pigeon"},
        "Resolve",
        'channel = "pigeon" is not allowed: it must be "auto", "s3", "s3express", "dynamodb" or "memcached".',
    ),
    "unknown pattern": Refused(
        {"pattern": "ring"},
        "Resolve",
        'pattern = "ring" is not allowed: it must be "auto", "all_gather", "scatter_reduce", "hierarchical" or '
        '"leader".',
    ),
    "batch 0": Refused({"batch_size": 0}, "Resolve", f"batch_size = 0 is not allowed: {COUNT} 1000000."),
    "epochs 0": Refused({"epochs": 0}, "Resolve", f"epochs = 0 is not allowed: {COUNT} 100000."),
    "negative learning rate": Refused(
        {"learning_rate": -0.1}, "Resolve", f"learning_rate = -0.1 is not allowed: it must be {RATE}"
    ),
    "memory that is not deployed": Refused(
        {"memory_mb": 2000},
        "Resolve",
        "memory_mb = 2000 is not allowed: worker functions are deployed with 1769, 3008.",
    ),
    # What it names in S3.
    "bucket not listed": Refused(
        {"model": "s3://somebody-elses/m.keras"},
        "Resolve",
        'model = "s3://somebody-elses/m.keras" is not allowed: its bucket must be one of '
        f"<artifacts>, {FAR_BUCKET}, {ABSENT_BUCKET} (context key data_buckets adds more).",
    ),
    "bucket that does not exist": Refused(
        {"data": {"train": f"s3://{ABSENT_BUCKET}/train.npz"}},
        "Resolve",
        f'data.train = "s3://{ABSENT_BUCKET}/train.npz" is not allowed: there is no such bucket.',
    ),
    "bucket of another region": Refused(
        {"data": {"train": "<train>", "validation": f"s3://{FAR_BUCKET}/validation.npz"}},
        "Resolve",
        f'data.validation = "s3://{FAR_BUCKET}/validation.npz" is not allowed: its bucket is in {FAR_REGION} and must '
        "be in us-east-1, where the workers are.",
    ),
    "model that is not there": Refused(
        {"model": "<folder>absent.keras"},
        "Resolve",
        'model = "<folder>absent.keras" is not allowed: there is no such object.',
    ),
    "data that are not there": Refused(
        {"data": "<folder>absent.npz"},
        "Resolve",
        'data.train = "<folder>absent.npz" is not allowed: there is no such object.',
    ),
    "empty model": Refused(
        {"model": "<empty.keras>"}, "Resolve", 'model = "<empty.keras>" is not allowed: the object is empty.'
    ),
    "folder without npz": Refused(
        {"data": "<folder>texts/"},
        "Resolve",
        f'data.train = "<folder>texts/" is not allowed: {FOLDER} bad/texts/.',
    ),
    "folder without slash that is none": Refused(
        {"data": "<folder>train"}, "Resolve", f'data.train = "<folder>train" is not allowed: {FOLDER} bad/train/.'
    ),
    "h5": Refused({"model": "<folder>m.h5"}, "Resolve", f'model = "<folder>m.h5" is not allowed: {KERAS_FILE}'),
    "SavedModel": Refused(
        {"model": "<folder>saved_model/"}, "Resolve", f'model = "<folder>saved_model/" is not allowed: {KERAS_FILE}'
    ),
    # The model.
    "corrupt model": Refused(
        {"model": "<corrupt.keras>"},
        "Prepare",
        'model = "<corrupt.keras>" is not allowed: it is no .keras file, or a part of it is missing.',
    ),
    "Lambda layer": Refused(
        {"model": "<lambda.keras>"},
        "Prepare",
        'model = "<lambda.keras>" is not allowed: it has a Lambda layer, whose code is not run; '
        "use Keras' own layers or operations instead.",
    ),
    "model that is not compiled": Refused(
        {"model": "<uncompiled.keras>"},
        "Prepare",
        'model = "<uncompiled.keras>" is not allowed: it must be compiled (optimizer, loss, metrics) before it is '
        "saved.",
    ),
    "early stopping on an unknown metric": Refused(
        {"early_stopping": {"monitor": "val_f1"}},
        "Prepare",
        'early_stopping.monitor = "val_f1" is not allowed: it must be one of loss, accuracy.',
    ),
    "model that does not fit the memory": Refused(
        {"model": "<large.keras>"},
        "Prepare",
        "memory_mb = 1769 is not allowed: a worker needs at least …; it must be 3008.",
    ),
    "learning rate that is no schedule": Refused(
        {"learning_rate": {"class_name": "Nonsense", "config": {}}},
        "Prepare",
        'learning_rate = {"class_name": "Nonsense", "config": {}} is not allowed: it must be a number or a serialized '
        "Keras schedule.",
    ),
    # The data.
    "corrupt data": Refused(
        {"data": "<corrupt.npz>"}, "Prepare", f'data = "<corrupt.npz>" is not allowed: {PLAIN} (…).'
    ),
    "object arrays": Refused(
        {"data": "<objects.npz>"}, "Prepare", f'data = "<objects.npz>" is not allowed: {PLAIN} (…).'
    ),
    "no y": Refused({"data": "<no_y.npz>"}, "Prepare", 'data = "<no_y.npz>" is not allowed: …'),
    "x and y of different lengths": Refused(
        {"data": "<lengths.npz>"},
        "Prepare",
        'data = "<lengths.npz>" is not allowed: x has 12 rows and y has 11; they must be equal.',
    ),
    "labels that do not fit the loss": Refused(
        {"data": "<labels.npz>"},
        "Prepare",
        'data = "<labels.npz>" is not allowed: y is 10 in row 5; … takes whole numbers from 0 to 9.',
    ),
    "NaN": Refused(
        {"data": "<nan.npz>"}, "Prepare", 'data = "<nan.npz>" is not allowed: x is NaN or infinite in row 7.'
    ),
    "no samples": Refused(
        {"data": "<nothing.npz>"}, "Prepare", 'data.train = "<nothing.npz>" is not allowed: it has no samples.'
    ),
    "fewer samples than workers": Refused(
        {"data": "<three.npz>"},
        "Prepare",
        "workers = 4 is not allowed: it must be at most 3, the number of training samples.",
    ),
    "data that do not fit the model": Refused({"data": "<shape.npz>"}, "Prepare", "The data do not fit the model: …"),
}


@pytest.fixture(scope="module")
def files(main: Deployment, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What ``<name>`` stands for in the cases."""
    far = boto3.client("s3", region_name=FAR_REGION)
    far.create_bucket(Bucket=FAR_BUCKET, CreateBucketConfiguration={"LocationConstraint": FAR_REGION})
    folder = tmp_path_factory.mktemp("bad")
    (x, y), _ = small.data()
    x, y = x[:12], y[:12]
    good = small.model_bytes(folder)
    contents = {
        "model": good,
        "empty.keras": b"",
        "corrupt.keras": good[: len(good) // 2],
        "uncompiled.keras": _saved(folder, keras.Sequential([keras.layers.Input((28, 28, 1)), keras.layers.Flatten()])),
        "lambda.keras": _saved(folder, _with_lambda()),
        "train": npz(*small.data()[0]),
        "corrupt.npz": npz(x, y)[:-100],
        "objects.npz": npz(x, np.array([{"label": int(label)} for label in y], dtype=object)),
        "no_y.npz": _packed(x=x),
        "lengths.npz": npz(x, y[:-1]),
        "nan.npz": npz(np.where(np.arange(12)[:, None, None, None] == 7, np.nan, x), y),
        "labels.npz": npz(x, np.where(np.arange(12) == 5, 10, y)),
        "large.keras": _saved(folder, _large()),
        "nothing.npz": npz(x[:0], y[:0]),
        "three.npz": npz(x[:3], y[:3]),
        "shape.npz": npz(x[:, ::2, ::2], y),
        "texts/readme.txt": b"not data",
    }
    suffixes = {"model": "model.keras", "train": "train-data.npz"}
    uris = {name: main.upload(f"bad/{suffixes.get(name, name)}", body) for name, body in contents.items()}
    bucket = main.stack.artifacts_bucket
    return uris | {"artifacts": bucket, "folder": f"s3://{bucket}/bad/"}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_bad_input_ends_the_run_before_a_worker_starts(main: Deployment, files: dict[str, str], case: Refused) -> None:
    # given
    good = {"model": files["model"], "data": files["train"], "batch_size": small.BATCH, "workers": small.WORKERS}
    changed = json.loads(_named(json.dumps(case.changed), files))
    execution_input = good | changed if isinstance(changed, dict) else changed

    # when
    run = main.run(execution_input)

    # then: the sentence, from the state that the issue is found in
    assert run.snapshot.status == "FAILED"
    before, _, after = _named(case.sentence, files).partition("…")
    assert run.snapshot.cause.startswith(before)
    assert run.snapshot.cause.endswith(after)
    assert "…" in case.sentence or run.snapshot.cause == before
    *_, refusing, explaining = (state.name for state in run.snapshot.states)
    assert (refusing, explaining) == (case.by, "Explain")
    # and nothing has begun
    assert run.table.get(Items.start(0, 0)) is None
    assert run.table.claimed_ranks(0, 0) == set()
    assert main.keys(Keys(run.run_id).prefix) == ([] if case.by == "Resolve" else [Keys(run.run_id).job])
    assert main.keys(Keys(run.run_id).checkpoints) == []


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"SET": "workers=0"}, 'workers = 0 is not allowed: it must be a whole number from 1 to 1000 or "auto".'),
        (
            {"SET": "early_stopping.monitor=val_f1"},
            'early_stopping.monitor = "val_f1" is not allowed: it must be one of loss, accuracy, val_loss, ',
        ),
        (
            {"SET": "model=./absent.keras"},
            "model = ./absent.keras is not allowed: there is no such file; give a file, an s3:// URI or ",
        ),
        ({"SET": "epochs"}, "epochs is not a setting: write key=value, separated by spaces."),
        ({"JOB": "absent.json"}, "absent.json cannot be read: No such file or directory."),
        ({"JOB": "package.json"}, "name is not a key of a job: allowed are "),
        ({"CONTEXT": "wrkers=4"}, "wrkers is not a key of a deployment: allowed are "),
        (
            {"CONTEXT": "workers=zero"},
            'workers = "zero" is not allowed: it must be a whole number from 1 to 1000 or "auto".',
        ),
    ],
    ids=lambda value: " ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_make_train_says_the_sentence_and_fails(
    main: Deployment, twin: Twin, variables: dict[str, str], sentence: str
) -> None:
    # given
    context = " ".join(f"{key}={value}" for key, value in MAIN.items())
    given = {"STAGE": "main", **variables, "CONTEXT": f"{context} {variables.get('CONTEXT', '')}".strip()}
    environment = {**os.environ, "TWIN_PORT": str(twin.port), "TWIN_CACHE_HOST": twin.cache_host, "COLUMNS": "400"}

    # when
    ended = subprocess.run(
        ["make", "train", *(f"{name}={value}" for name, value in given.items())],
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )

    # then
    assert sentence in ended.stdout
    assert "Traceback" not in ended.stdout
    assert ended.returncode != 0


def _named(text: str, files: dict[str, str]) -> str:
    for name, uri in files.items():
        text = text.replace(f"<{name}>", uri)
    return text


def _saved(folder: Path, model: keras.Model) -> bytes:
    path = folder / "saved.keras"
    model.save(path)
    return path.read_bytes()


def _large() -> keras.Model:
    """54 million parameters; with Adam's slots and three gradients 1.3 GB."""
    layers = [keras.layers.Dense(7000, kernel_initializer="zeros") for _ in range(2)]
    model = keras.Sequential(
        [keras.layers.Input((28, 28, 1)), keras.layers.Flatten(), *layers, keras.layers.Dense(10, "softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def _with_lambda() -> keras.Model:
    model = keras.Sequential(
        [
            keras.layers.Input((28, 28, 1)),
            keras.layers.Flatten(),
            keras.layers.Lambda(lambda x: 2 * x),
            keras.layers.Dense(10),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def _packed(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()
