"""What a job leaves to "auto": Prepare measures, Plan asks the planner, and the run is what the plan says."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.e2e import small
from tests.e2e.deployment import Deployment, npz

AUTO = {"memory_mb": "auto", "wire": "auto", "sync_every": "auto"}
FEW = 3
"""Samples that leave no room for many workers."""


@pytest.mark.parametrize(("workers", "samples"), [(2, small.SAMPLES), ("auto", FEW)])
def test_a_run_is_what_the_planner_chose(
    main: Deployment, tmp_path_factory: pytest.TempPathFactory, workers: Any, samples: int
) -> None:
    # given
    (x, y), validation = small.data()
    job = small.job(
        main.upload("uploads/auto.keras", small.model_bytes(tmp_path_factory.mktemp("model"))),
        main.upload(f"uploads/auto-{samples}.npz", npz(x[:samples], y[:samples])),
        main.upload("uploads/auto-validation.npz", npz(*validation)),
    )

    # when
    run = main.run(job | AUTO | {"workers": workers})

    # then
    plan, receipt = run.json("plan"), run.receipt
    prepared = run.json("prepared")
    assert prepared["memory_mb"] == 3008, "Prepare ran in the largest function"
    assert prepared["vcpus"] >= 1
    assert plan["prepared"]["memory_mb"] == plan["memory_mb"], "the plan speaks of the one it chose"
    assert plan["considered"]["reasons"]
    chosen = plan["considered"]["chosen"]
    assert all(plan[key] == chosen[key] for key in ("channel", "pattern", "workers", "memory_mb", "wire", "sync_every"))
    assert all(receipt[key] == chosen[key] for key in ("channel", "pattern", "workers", "wire", "sync_every"))
    assert receipt["workers"] == workers or workers == "auto"
    assert receipt["workers"] <= samples
    assert receipt["steps"] == plan["total_steps"]


def test_a_model_of_float64_travels_as_it_is_when_the_wire_is_left_open(main: Deployment, tmp_path: Path) -> None:
    # given
    model = keras.Sequential([keras.layers.Input((5,)), keras.layers.Dense(3, dtype="float64")])
    model.compile("sgd", "mse", jit_compile=False)
    model.save(tmp_path / "double.keras")
    random = np.random.default_rng(2)
    job = {
        "model": main.upload("uploads/double.keras", (tmp_path / "double.keras").read_bytes()),
        "data": {"train": main.upload("uploads/double.npz", npz(random.random((64, 5)), random.random((64, 3))))},
        "batch_size": 8,
        "workers": 2,
        "memory_mb": 1769,
        "epochs": 1,
        "wire": "auto",
    }

    # when
    run = main.run(job)

    # then
    assert run.json("prepared")["exact_wire"] == run.receipt["wire"] == "float64"
    assert run.receipt["steps"] == 4
