"""A job that takes seconds: a small smooth CNN on a part of MNIST."""

import json
from pathlib import Path
from typing import Any

import boto3
import keras
import numpy as np
from botocore.config import Config

from examples import build

SAMPLES, VALIDATION = 2000, 500
WORKERS, BATCH, EPOCHS, SEED = 4, 16, 2, 3


def model(kind: str = "smooth") -> keras.Model:
    """``smooth`` stays with Keras to rounding; ``own_state`` has BatchNorm and Dropout."""
    keras.utils.set_random_seed(4)
    layers = keras.layers
    own_state = [layers.BatchNormalization(), layers.Dropout(0.2)] if kind == "own_state" else []
    made = keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Rescaling(1 / 255),
            layers.AveragePooling2D(2),
            layers.Conv2D(8, 3, activation="tanh"),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dense(100, activation="tanh"),
            *own_state,
            layers.Dense(10, activation="softmax"),
        ]
    )
    made.compile(
        keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False
    )
    return made


def data() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    files = build.ensure()["mnist"]
    with np.load(files["train"]) as train, np.load(files["validation"]) as validation:
        return (train["x"][:SAMPLES], train["y"][:SAMPLES]), (
            validation["x"][:VALIDATION],
            validation["y"][:VALIDATION],
        )


def model_bytes(folder: Path, kind: str = "smooth") -> bytes:
    path = folder / "small.keras"
    model(kind).save(path)
    return path.read_bytes()


def job(model_uri: str, train_uri: str, validation_uri: str, **changed: Any) -> dict[str, Any]:
    return {
        "model": model_uri,
        "data": {"train": train_uri, "validation": validation_uri},
        "epochs": EPOCHS,
        "batch_size": BATCH,
        "workers": WORKERS,
        "memory_mb": 1769,
        "seed": SEED,
        **changed,
    }


def invoke_worker(plan: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Invoke the worker function of a plan, as Lambda would for a duplicate event."""
    client = boto3.client("lambda", config=Config(read_timeout=300, retries={"total_max_attempts": 1}))
    answer = client.invoke(FunctionName=json.loads(plan)["function"], Payload=json.dumps(payload).encode())
    result: dict[str, Any] = json.loads(answer["Payload"].read())
    return result
