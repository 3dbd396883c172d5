"""Writes a model into the ``.keras`` file that a run leaves, and says beforehand whether /tmp can hold it."""

import shutil
import tempfile
import zipfile
from pathlib import Path

import keras
import numpy as np

from paytrain.errors import JobError
from paytrain.store import Artifacts

_BEYOND_VARIABLES_BYTES = 2**20
"""Configuration and directories."""


def refuse_too_large(model: keras.Model, uri: str) -> None:
    """Refuse a model that could be trained and then not be exported.

    Parameters
    ----------
    model
        Compiled, its optimizer built.
    uri
        Of its file, for the sentence.

    Raises
    ------
    JobError
        Naming what it needs of /tmp and what is free.
    """
    needed_mb = _file_bytes(model) // 2**20 + 1
    free_mb = shutil.disk_usage(tempfile.gettempdir()).free // 2**20
    if needed_mb > free_mb:
        raise JobError(
            f'model = "{uri}" is not allowed: its export takes {needed_mb:,} MB of /tmp, where {free_mb:,} MB '
            "are free; deploy with a larger tmp_mb."
        )


def export(model: keras.Model, artifacts: Artifacts, key: str) -> None:
    """Write a model with its optimizer to an object, by way of /tmp: Keras would make the archive in memory."""
    with tempfile.TemporaryDirectory() as folder:
        keras.saving.save_model(model, folder, zipped=False)
        with artifacts.create(key) as file, zipfile.ZipFile(file, "w") as archive:
            for path in sorted(Path(folder).rglob("*")):
                archive.write(path, path.relative_to(folder))


def _file_bytes(model: keras.Model) -> int:
    variables: list[keras.Variable] = [*model.weights, *model.optimizer.variables]
    size: int = sum(int(np.prod(v.shape)) * np.dtype(v.dtype).itemsize for v in variables)
    return size + _BEYOND_VARIABLES_BYTES
