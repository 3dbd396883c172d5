"""TensorFlow for the tests that train: deterministic, one thread, as in a worker of one vCPU."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
