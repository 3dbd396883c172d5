"""From an execution's start to a trained model, over every channel and pattern."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from paytrain.run import Items
from paytrain.training.batches import Batches
from tests.e2e import small
from tests.e2e.deployment import Deployment, Run, npz


@pytest.fixture(scope="module")
def job(main: Deployment, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    train, validation = small.data()
    return small.job(
        main.upload("uploads/small.keras", small.model_bytes(tmp_path_factory.mktemp("model"))),
        main.upload("uploads/train.npz", npz(*train)),
        main.upload("uploads/validation.npz", npz(*validation)),
    )


@pytest.fixture(scope="module")
def reference(main: Deployment, job: dict[str, Any]) -> Run:
    """One run that the others are compared with."""
    return main.run(job | {"channel": "memcached", "pattern": "leader"})


@pytest.mark.parametrize(
    ("channel", "pattern"),
    [
        ("memcached", "scatter_reduce"),
        ("memcached", "all_gather"),
        ("s3", "scatter_reduce"),
        ("s3", "leader"),
        ("dynamodb", "all_gather"),
        ("dynamodb", "scatter_reduce"),
    ],
)
def test_every_channel_and_pattern_gives_the_same_bits(
    main: Deployment, job: dict[str, Any], reference: Run, channel: str, pattern: str
) -> None:
    # when
    run = main.run(job | {"channel": channel, "pattern": pattern})

    # then
    assert run.receipt["weights_sha256"] == reference.receipt["weights_sha256"]
    assert (run.receipt["channel"], run.receipt["pattern"]) == (channel, pattern)
    assert run.text("history") == reference.text("history")


@pytest.mark.parametrize("wire", ["int8", "topk"])
def test_a_lossy_wire_gives_the_same_bits_on_every_channel(
    main: Deployment, job: dict[str, Any], reference: Run, wire: str
) -> None:
    # when
    lossy = job | {"wire": wire, "pattern": "scatter_reduce"}
    runs = [main.run(lossy | {"channel": channel}) for channel in ("memcached", "s3", "dynamodb")]

    # then
    bits = {run.receipt["weights_sha256"] for run in runs}
    assert len(bits) == 1
    assert bits != {reference.receipt["weights_sha256"]}
    assert {run.receipt["wire"] for run in runs} == {wire}


def test_the_model_is_that_of_plain_keras(reference: Run, tmp_path: Path) -> None:
    # given
    (x, y), validation = small.data()
    plain = small.model()
    batches = Batches(small.SAMPLES, small.BATCH * small.WORKERS, 1, small.SEED, shuffle=True)
    for step in range(small.EPOCHS * batches.steps_per_epoch):
        rows = batches.global_rows(step)
        plain.train_on_batch(x[rows], y[rows])

    # when
    ours = reference.model(tmp_path)

    # then
    differences = [np.abs(a - b).max() for a, b in zip(ours.get_weights(), plain.get_weights(), strict=True)]
    assert max(differences) <= 1e-5
    assert np.abs(ours.get_weights()[0] - small.model().get_weights()[0]).max() > 1e-3, "it has learned"
    scores = ours.evaluate(*validation, batch_size=small.BATCH, verbose=0, return_dict=True)
    assert scores["accuracy"] == pytest.approx(reference.receipt["results"]["val_accuracy"], abs=1e-6)


def test_the_receipt_has_what_tools_rely_on(reference: Run) -> None:
    receipt = reference.receipt

    assert receipt["run_id"] == reference.run_id
    assert receipt["status"] == "succeeded"
    assert receipt["stopped_by"] == "last_step"
    assert (receipt["laps"], receipt["attempts"], receipt["workers"]) == (1, 1, small.WORKERS)
    assert receipt["steps"] == small.EPOCHS * -(-small.SAMPLES // (small.BATCH * small.WORKERS))
    assert receipt["wire"] == "float32"
    assert receipt["seconds"] > 0
    assert receipt["usd"] == pytest.approx(sum(line["usd"] for line in receipt["lines"]))


def test_a_run_on_one_worker_needs_no_channel(main: Deployment, job: dict[str, Any]) -> None:
    run = main.run(job | {"workers": 1, "batch_size": small.BATCH * small.WORKERS, "channel": "s3", "epochs": 1})

    assert run.receipt["workers"] == 1
    assert not [line for line in run.receipt["lines"] if line["item"].startswith("exchange")]


def test_early_stopping_ends_all_ranks_after_the_same_epoch(main: Deployment, job: dict[str, Any]) -> None:
    rule = {"monitor": "val_loss", "patience": 1, "min_delta": 100.0}

    run = main.run(job | {"epochs": 9, "early_stopping": rule})

    assert run.receipt["stopped_by"] == "early_stopping"
    assert run.receipt["steps"] == 2 * -(-small.SAMPLES // (small.BATCH * small.WORKERS))


def test_a_second_invocation_of_a_rank_touches_nothing(main: Deployment, job: dict[str, Any], reference: Run) -> None:
    # given: a run in the middle of its lap
    execution = main.start(job | {"channel": "memcached", "pattern": "leader", "epochs": small.EPOCHS})
    main.wait(execution, until=lambda s: s.progress.get("step", 0) > 0)
    run = Run(main.stack, execution.run_id, execution.poll())

    # when: Lambda delivers rank 2 once more
    event = {"action": "lap", "run_id": run.run_id, "lap": 0, "attempt": 0, "rank": 2}
    answer = small.invoke_worker(run.text("plan"), event)

    # then: it ends with the first one's outcome, and the run is the same
    ended = Run(main.stack, run.run_id, main.wait(execution))
    assert answer == {"status": "finished"}
    assert ended.receipt["weights_sha256"] == reference.receipt["weights_sha256"]
    assert ended.receipt["attempts"] == 1
    assert len(ended.table.all_outcomes()) == small.WORKERS
    assert ended.table.get(Items.abort(0, 0)) is None


def test_the_console_sample_trains_the_example(main: Deployment, tmp_path: Path) -> None:
    # when
    run = main.run({"Comment": "Insert your JSON here"})

    # then
    assert run.receipt["results"]["val_accuracy"] >= 0.985
    # Between S3 and this stack's node the planner's choice is close: it depends on how fast a step was measured.
    chosen = run.json("plan")["considered"]["chosen"]
    assert (run.receipt["channel"], run.receipt["pattern"]) == (chosen["channel"], chosen["pattern"])
    assert (run.receipt["workers"], run.receipt["steps"]) == (4, 705)
    model = run.model(tmp_path)
    assert model.count_params() == 225_402
    with np.load(small.build.ensure()["mnist"]["validation"]) as test:
        loss, accuracy = model.evaluate(test["x"], test["y"], batch_size=64, verbose=0)
    assert accuracy == pytest.approx(run.receipt["results"]["val_accuracy"], abs=1e-6)
    assert loss == pytest.approx(run.receipt["results"]["val_loss"], rel=1e-4)
    assert isinstance(model, keras.Sequential)
