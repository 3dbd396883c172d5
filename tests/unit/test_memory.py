"""A job that would run out of memory is refused with what it needs and what is allowed."""

import gc
import math
import subprocess
import sys

import keras
import pytest
import tensorflow as tf
from tensorflow.python.framework.func_graph import FuncGraph

from paytrain.errors import JobError
from paytrain.memory import MB, RUNTIME_BYTES, Need, refuse_too_large
from paytrain.training.data import Rows
from tests.unit import keras_models

LARGE = Need(model=400 * MB, optimizer=800 * MB, gradient=400 * MB, residuals=0, data=10 * MB)
NEEDED_MB = 400 + 800 + 3 * 400 + 10 + 668


@pytest.mark.parametrize("memory_mb", [NEEDED_MB, 10240])
def test_what_fits_is_allowed(memory_mb: int) -> None:
    refuse_too_large(LARGE, memory_mb, [1769, memory_mb])


@pytest.mark.parametrize(
    ("sizes", "allowed"),
    [
        ([1769, 3008], "worker functions are deployed with 1769, 3008 (context key worker_memory_sizes)"),
        ([5120, 1769, 3072, 10240], "it must be 5120 or 10240"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(sizes: list[int], allowed: str) -> None:
    with pytest.raises(JobError) as refused:
        refuse_too_large(LARGE, 1769, sizes)
    assert str(refused.value) == (
        "memory_mb = 1769 is not allowed: a worker needs at least 3,078 MB (model 400, optimizer 800, gradients 1,200, "
        f"data 10, TensorFlow 668); {allowed}."
    )


def test_one_byte_too_many_is_refused() -> None:
    just = Need(model=1769 * MB - RUNTIME_BYTES, optimizer=0, gradient=0, residuals=0, data=0)
    refuse_too_large(just, 1769, [1769])
    with pytest.raises(JobError, match="at least 1,770 MB"):
        refuse_too_large(Need(model=just.model, optimizer=0, gradient=0, residuals=0, data=1), 1769, [1769])


_PARENT = """
import subprocess, sys
from paytrain.memory import peak_mb

print(peak_mb(), end=" ")
ballast = bytearray(300_000_000)
ballast[::4096] = bytes(len(ballast[::4096]))
del ballast
print(peak_mb(), end=" ", flush=True)
subprocess.run([sys.executable, "-c", "from paytrain.memory import peak_mb; print(peak_mb())"], check=True)
"""


def test_the_peak_is_that_of_the_process_and_not_of_its_parent() -> None:
    # When a process has had 300 MB, has freed them, and has started another
    command = [sys.executable, "-c", _PARENT]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    # Then its peak stays, and the other's is its own
    before, after, child = map(int, output.split())
    assert 5 < before < 150
    assert after >= 286
    assert 5 < child < 150


def test_a_trainer_that_is_done_lets_go_of_its_variables() -> None:
    # Given a trainer whose functions have been traced
    x, y = keras_models.digits(8, "float32")
    model = keras_models.kinked("float32")
    model.compile("adam", "sparse_categorical_crossentropy")
    trainer = keras_models.trainer(model, "float32", x, y)
    trainer.warm_up(Rows({"x": x, "y": y}), {8}, set())
    variables = [variable.value for variable in [*model.weights, *model.optimizer.variables]]
    assert sum(math.prod(variable.shape) for variable in variables) > 3 * trainer.parameters
    # When it is done
    trainer.release()
    # Then its variables hold nothing
    for variable in variables:
        value = tf.raw_ops.ReadVariableOp(resource=variable.handle, dtype=variable.dtype)
        assert tf.size(value) == 0


def test_nothing_of_a_traced_step_stays_when_its_trainer_is_gone() -> None:
    # Given what is alive before
    gc.collect()
    before = _graphs()
    # When trainers have come, traced their functions, and gone
    x, y = keras_models.digits(8, "float32")
    for _ in range(3):
        model = keras_models.kinked("float32")
        model.compile("adam", "sparse_categorical_crossentropy")
        keras_models.trainer(model, "float32", x, y).warm_up(Rows({"x": x, "y": y}), {8}, set())
        del model
        keras.backend.clear_session()
    gc.collect()
    # Then no graph of theirs is left, which would grow a warm sandbox with every model
    known = {id(each) for each in before}
    assert [each.name for each in _graphs() if id(each) not in known] == []


def _graphs() -> list[FuncGraph]:
    """All that are alive; by type(), for isinstance() asks a weak proxy for what it points to, which may be gone."""
    return [each for each in gc.get_objects() if issubclass(type(each), FuncGraph)]
