"""A model with two inputs, two outputs, an Embedding, masks and sample weights, from data in several objects."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from paytrain.training.batches import Batches
from tests.e2e.deployment import Deployment, packed

SAMPLES, VALIDATION, WORDS, LENGTH = 416, 96, 30, 8
WORKERS, BATCH, EPOCHS, SEED = 2, 16, 2, 3


def model() -> keras.Model:
    keras.utils.set_random_seed(4)
    features, tokens = layers.Input((4,), name="features"), layers.Input((LENGTH,), name="tokens", dtype="int32")
    words = layers.Embedding(WORDS, 6, mask_zero=True)(tokens)
    both = layers.Concatenate()([layers.Dense(8, activation="tanh")(features), layers.GlobalAveragePooling1D()(words)])
    sort = layers.Dense(3, activation="softmax", name="sort")(both)
    made = keras.Model([features, tokens], [layers.Dense(1, name="number")(both), sort])
    made.compile(
        keras.optimizers.SGD(0.05, momentum=0.9),
        {"number": keras.losses.MeanSquaredError("mean_with_sample_weight"), "sort": "sparse_categorical_crossentropy"},
        metrics={"sort": ["accuracy"]},
        weighted_metrics={"number": ["mae"]},
        jit_compile=False,
    )
    return made


def data(samples: int, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    lengths = random.integers(1, LENGTH + 1, (samples, 1))
    tokens = np.where(np.arange(LENGTH) < lengths, random.integers(1, WORDS, (samples, LENGTH)), 0)
    features = random.normal(size=(samples, 4)).astype("float32")
    return {
        "x/features": features,
        "x/tokens": tokens.astype("int32"),
        "y/number": features.sum(1, keepdims=True),
        "y/sort": tokens.max(1) % 3,
        "sample_weight": random.uniform(0.1, 2, samples).astype("float32"),
    }


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Deployment], dict[str, Any]]:
    """The job, uploaded for a deployment."""
    path = tmp_path_factory.mktemp("model") / "several.keras"
    model().save(path)

    def upload(deployment: Deployment) -> dict[str, Any]:
        train = data(SAMPLES, 1)
        for part in range(2):
            half = slice(part * SAMPLES // 2, (part + 1) * SAMPLES // 2)
            deployment.upload(f"uploads/several/{part}.npz", packed({name: a[half] for name, a in train.items()}))
        return {
            "model": deployment.upload("uploads/several.keras", path.read_bytes()),
            "data": {
                "train": f"s3://{deployment.stack.artifacts_bucket}/uploads/several/",
                "validation": deployment.upload("uploads/several-validation.npz", packed(data(VALIDATION, 2))),
            },
            "epochs": EPOCHS,
            "batch_size": BATCH,
            "workers": WORKERS,
            "seed": SEED,
            "channel": "memcached",
        }

    return upload


def for_keras(arrays: dict[str, np.ndarray], rows: np.ndarray) -> tuple[Any, ...]:
    x = {"features": arrays["x/features"][rows], "tokens": arrays["x/tokens"][rows]}
    return x, [arrays["y/number"][rows], arrays["y/sort"][rows]], arrays["sample_weight"][rows]


def test_it_trains_as_plain_keras_does(
    main: Deployment, job: Callable[[Deployment], dict[str, Any]], tmp_path: Path
) -> None:
    # given
    plain, arrays = model(), data(SAMPLES, 1)
    batches = Batches(SAMPLES, BATCH * WORKERS, 1, SEED, shuffle=True)
    for step in range(EPOCHS * batches.steps_per_epoch):
        x, y, weight = for_keras(arrays, batches.global_rows(step))
        plain.train_on_batch(x, y, sample_weight=weight)

    # when
    run = main.run(job(main))

    # then
    assert run.receipt["status"] == "succeeded"
    ours = run.model(tmp_path)
    differences = [np.abs(a - b).max() for a, b in zip(ours.get_weights(), plain.get_weights(), strict=True)]
    assert max(differences) <= 1e-5
    assert np.abs(ours.get_weights()[0] - model().get_weights()[0]).max() > 1e-2, "it has learned"
    x, y, weight = for_keras(data(VALIDATION, 2), np.arange(VALIDATION))
    scores = ours.evaluate(x, y, sample_weight=weight, batch_size=BATCH * WORKERS, verbose=0, return_dict=True)
    assert run.receipt["results"] == pytest.approx(
        run.receipt["results"] | {f"val_{name}": value for name, value in scores.items()}, rel=1e-5
    )


def test_a_relay_gives_the_bits_of_one_lap(
    main: Deployment, short: Deployment, job: Callable[[Deployment], dict[str, Any]]
) -> None:
    # given
    longer = {"epochs": 200}
    in_one = main.run(job(main) | longer)

    # when
    relay = short.run(job(short) | longer)

    # then
    assert relay.receipt["weights_sha256"] == in_one.receipt["weights_sha256"]
    assert relay.text("history") == in_one.text("history")
    assert in_one.receipt["laps"] == 1
    assert relay.receipt["laps"] > 1
