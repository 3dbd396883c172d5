"""Plain single-process Keras on the example: the speed that the twin's workers are held against.

Run as ``python -m bench.plain_fit GLOBAL_BATCH``; prints samples per second of one epoch in steady state.
"""

import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

from examples import build


def samples_per_second(global_batch: int) -> float:
    """Speed of ``model.fit`` over one epoch, after one that pays for tracing."""
    files = build.ensure()["mnist"]
    model = keras.models.load_model(files["model"])
    with np.load(files["train"]) as train:
        x, y = train["x"], train["y"]
    model.fit(x[: 4 * global_batch], y[: 4 * global_batch], batch_size=global_batch, verbose=0)
    began = time.monotonic()
    model.fit(x, y, batch_size=global_batch, verbose=0)
    return len(x) / (time.monotonic() - began)


if __name__ == "__main__":
    print(samples_per_second(int(sys.argv[1])))
