"""Weights are loaded with few copies, and are what Keras itself would load."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras.src.saving import saving_lib

from paytrain.training.model import load_model

_PEAK = """
import sys
import keras
from paytrain.memory import peak_mb
from paytrain.training.model import load_model

before = peak_mb()
with open(sys.argv[1], "rb") as file:
    load_model(file, "model.keras")
print(peak_mb() - before)
"""
TABLE_MB = 64


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_a_model_is_loaded_as_keras_loads_it(dtype: str, tmp_path: Path) -> None:
    # Given a trained model with a kernel of several megabytes, and smaller variables
    original = keras.Sequential(
        [
            keras.Input((700,)),
            keras.layers.Dense(1000, dtype=dtype),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(3),
        ]
    )
    original.compile("adam", "mse")
    random = np.random.default_rng(1)
    original.fit(random.random((8, 700)), random.random((8, 3)), verbose=0)
    original.save(tmp_path / "model.keras")
    getitem = saving_lib.H5IOStore.__getitem__
    # When it is loaded
    with open(tmp_path / "model.keras", "rb") as file:
        loaded = load_model(file, "model.keras")
    # Then every variable is the same, of model and optimizer, and Keras is as before
    assert saving_lib.H5IOStore.__getitem__ is getitem
    expected = [*original.variables, *original.optimizer.variables]
    found = [*loaded.variables, *loaded.optimizer.variables]
    assert [variable.dtype for variable in found] == [variable.dtype for variable in expected]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy(), err_msg=theirs.path)


def test_loading_needs_two_copies_of_an_array_besides_its_variable(tmp_path: Path) -> None:
    # Given a model with a table of 64 MB
    model = keras.Sequential([keras.Input((1,), dtype="int32"), keras.layers.Embedding(TABLE_MB * 2**20 // 40, 10)])
    model.compile("sgd", "mse")
    model.save(tmp_path / "table.keras")
    # When a process with a worker's environment loads it
    given = {**os.environ, "TF_ONEDNN_USE_SYSTEM_ALLOCATOR": "1"}
    command = [sys.executable, "-c", _PEAK, str(tmp_path / "table.keras")]
    grown = int(subprocess.run(command, check=True, capture_output=True, text=True, env=given).stdout)
    # Then it had the variable's first values, what was read, and the tensor of that; Keras alone has one more
    assert 2.5 * TABLE_MB < grown < 3.5 * TABLE_MB
