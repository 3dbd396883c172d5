"""A model that /tmp cannot hold is refused before it is trained."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import keras
import pytest

from paytrain.errors import JobError
from paytrain.training.export import refuse_too_large

MB = 2**20


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """About 1 M parameters: 4 MB of weights and as much of each of Adam's two slots."""
    made = keras.Sequential([keras.layers.Input((1000,)), keras.layers.Dense(1000)])
    made.compile("adam", "mse")
    made.optimizer.build(made.trainable_variables)
    return made


def refused(model: keras.Model, free_bytes: int, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free_bytes))
    try:
        refuse_too_large(model, "s3://b/m.keras")
    except JobError as error:
        return str(error)
    return ""


def test_a_model_that_tmp_cannot_hold_is_refused(model: keras.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(model, 10 * MB, monkeypatch) == (
        'model = "s3://b/m.keras" is not allowed: its export takes 13 MB of /tmp, where 10 MB are free; '
        "deploy with a larger tmp_mb."
    )


def test_the_estimate_is_that_of_the_file(model: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    model.save(tmp_path / "model.keras")

    # when
    size = (tmp_path / "model.keras").stat().st_size

    # then
    assert refused(model, size - MB, monkeypatch)
    assert not refused(model, size + 2 * MB, monkeypatch)
