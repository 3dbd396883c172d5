"""TensorFlow for the tests that train: deterministic, one thread, as in a worker of one vCPU."""

import os
import sys
from collections.abc import Iterator

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@pytest.fixture(autouse=True)
def usual_dtype() -> Iterator[None]:
    """Leave Keras' dtype as it is by default, whatever a test has chosen for its models."""
    yield
    if keras := sys.modules.get("keras"):
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
