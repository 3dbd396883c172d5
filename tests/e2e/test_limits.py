"""Budget and deadline: a run ends within them, with a model; one that cannot is refused before its first lap."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paytrain.run import Keys
from tests.e2e import small
from tests.e2e.deployment import Deployment, Run, npz

EPOCHS = 5
MANY = 400
"""Epochs that neither budget nor deadline below allow."""


@pytest.fixture(scope="module")
def job(main: Deployment, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    train, validation = small.data()
    return small.job(
        main.upload("uploads/limits.keras", small.model_bytes(tmp_path_factory.mktemp("model"))),
        main.upload("uploads/limits-train.npz", npz(*train)),
        main.upload("uploads/limits-validation.npz", npz(*validation)),
        channel="memcached",
    )


@pytest.fixture(scope="module")
def unlimited(main: Deployment, job: dict[str, Any]) -> Run:
    return main.run(job | {"epochs": EPOCHS})


def assert_has_a_usable_model(run: Run, unlimited: Run, folder: Path) -> None:
    _, (x, y) = small.data()
    predicted = run.model(folder).predict(x, verbose=0).argmax(axis=1)
    assert np.mean(predicted == y) > 0.5
    steps, total = run.receipt["steps"], run.json("plan")["total_steps"]
    assert 0 < steps < total
    # Up to the stop it is the run that it would have been.
    theirs, ours = unlimited.json("history"), run.json("history")
    both = min(len(theirs), len(ours))
    assert both
    assert ours[:both] == theirs[:both]


def test_a_budget_is_kept(main: Deployment, job: dict[str, Any], unlimited: Run, tmp_path: Path) -> None:
    # Given what some epochs cost, with what is kept for the end
    budget = unlimited.receipt["usd"] + unlimited.json("plan")["reserve"]["finish_usd"]
    # When many more may not cost more
    run = main.run(job | {"epochs": MANY, "budget_usd": budget})
    # Then the run ends before, with a model, and says why
    assert run.receipt["stopped_by"] == "budget"
    assert run.receipt["usd"] <= budget
    assert_has_a_usable_model(run, unlimited, tmp_path)


def test_a_deadline_is_kept(main: Deployment, job: dict[str, Any], unlimited: Run, tmp_path: Path) -> None:
    minutes = (unlimited.receipt["seconds"] + unlimited.json("plan")["reserve"]["finish_seconds"]) / 60
    run = main.run(job | {"epochs": MANY, "deadline_minutes": minutes})
    assert run.receipt["stopped_by"] == "deadline"
    assert run.receipt["seconds"] <= 60 * minutes
    assert_has_a_usable_model(run, unlimited, tmp_path)


@pytest.mark.parametrize("limit", ["budget_usd", "deadline_minutes"])
def test_what_pays_for_no_lap_is_refused_by_plan(main: Deployment, job: dict[str, Any], limit: str) -> None:
    # When a run is asked for that may cost next to nothing
    run = main.run(job | {limit: 0.00001})
    # Then it ends in Plan, with the smallest limit that would do
    assert run.snapshot.status == "FAILED"
    assert [state.name for state in run.snapshot.states if state.name == "Lap"] == []
    assert f"{limit} = 1e-05 is not allowed" in run.snapshot.cause
    assert float(run.snapshot.cause.split("at least ")[1].rstrip(".")) > 0.00001
    assert not main.has(Keys(run.run_id).model)
