"""The exported model's evaluation: plain Keras' scores, or none and a sentence."""

from collections.abc import Callable

import keras
import numpy as np
import pytest

from paytrain.errors import JobError
from paytrain.job import Job
from paytrain.training import sandbox
from paytrain.training.data import Rows
from paytrain.training.evaluation import evaluate
from paytrain.training.trainer import Trainer
from tests.unit import keras_models
from tests.unit.plans import SOURCE, plan, prepared

SAMPLES, BATCH = 250, 100
VALIDATED = plan(
    job=Job(batch_size=BATCH // 2), workers=2, prepared=prepared(validation=(SOURCE,), validation_samples=SAMPLES)
)


@pytest.fixture(scope="module")
def rows() -> Rows:
    random = np.random.default_rng(1)
    x, y = (random.normal(size=(SAMPLES, width)).astype("float32") for width in (3, 1))
    return Rows({"x": x, "y": y})


@pytest.fixture(scope="module")
def trainer(rows: Rows) -> Trainer:
    keras_models.use("float32")
    made = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])
    made.compile("sgd", "mse", metrics=["mae"])
    return Trainer(made, "float32", rows.take(slice(1)))


@pytest.fixture
def validation(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "data_of", lambda sources: rows)


def seconds(*left: float) -> Callable[[], float]:
    """Seconds left, as asked one time after another; the last for ever."""
    answers = iter(left)
    return lambda: next(answers, left[-1])


@pytest.mark.usefixtures("validation")
def test_with_time_the_scores_are_keras_own(trainer: Trainer, rows: Rows) -> None:
    # when
    scores, how = evaluate(trainer, VALIDATED, seconds(900))

    # then
    plain = trainer.model.evaluate(rows.arrays["x"], rows.arrays["y"], batch_size=BATCH, verbose=0, return_dict=True)
    assert scores == pytest.approx({f"val_{name}": value for name, value in plain.items()}, rel=1e-6)
    assert scores.keys() == {"val_loss", "val_mae"}
    assert how == "complete"


@pytest.mark.usefixtures("validation")
@pytest.mark.parametrize(
    ("left", "sentence"),
    [
        ((1,), "skipped: no time was left"),
        ((900, 1), "cut short after 50 of 250 samples: no time was left"),
        ((900, 900, 900, 900, 900, 1), "cut short after 225 of 250 samples: no time was left"),
        # The last part is done: that the time is up then does not matter.
        ((900, 900, 900, 900, 900, 900, 1), "complete"),
    ],
)
def test_without_time_there_are_no_scores_of_a_part(trainer: Trainer, left: tuple[float, ...], sentence: str) -> None:
    scores, how = evaluate(trainer, VALIDATED, seconds(*left))

    assert how == sentence
    assert bool(scores) == (sentence == "complete")


def test_data_that_have_vanished_are_said(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    def vanished(sources: object) -> Rows:
        raise JobError("s3://b/v.npz has vanished during the run.")

    monkeypatch.setattr(sandbox, "data_of", vanished)

    # when, then
    assert evaluate(trainer, VALIDATED, seconds(900)) == ({}, "skipped: s3://b/v.npz has vanished during the run.")


def test_a_job_without_validation_data_has_none(trainer: Trainer) -> None:
    assert evaluate(trainer, plan(), seconds(900)) == ({}, "none: the job has no validation data")
