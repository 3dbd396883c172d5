"""What dies, what is taken away, what is stopped: the run ends with the same bits, or says why it cannot."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import keras
import numpy as np
import pytest

from paytrain.run import Items, Keys
from tests.e2e import counting, small
from tests.e2e.deployment import POLL_SECONDS, RUN_SECONDS, Deployment, Run, npz


@pytest.fixture(scope="module")
def job(main: Deployment, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    train, validation = small.data()
    return small.job(
        main.upload("uploads/failures.keras", small.model_bytes(tmp_path_factory.mktemp("model"))),
        main.upload("uploads/failures-train.npz", npz(*train)),
        main.upload("uploads/failures-validation.npz", npz(*validation)),
        epochs=5,
        checkpoint_every=20,
    )


def sandboxes(plan: dict[str, Any]) -> list[int]:
    """Process ids of the emulator's sandboxes of a run's worker function."""
    name = plan["function"].split(":function:")[1].split(":")[0]
    marked = [p for p in Path("/proc").glob("[0-9]*") if f"ministack-lambda-{name}-" in _command_line(p)]
    return [int(path.name) for path in marked]


def _command_line(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


@pytest.mark.parametrize(("channel", "epochs"), [("memcached", 30), ("s3", 8)])
def test_a_killed_worker_costs_no_bit(main: Deployment, job: dict[str, Any], channel: str, epochs: int) -> None:
    """Epochs enough for some seconds: progress, from which the moment is taken, is told every two."""
    # given
    undisturbed = main.run(job | {"channel": channel, "epochs": epochs})
    execution = main.start(job | {"channel": channel, "epochs": epochs})
    main.wait(execution, until=lambda s: s.progress.get("step", 0) > 30)
    run = Run(main.stack, execution.run_id, execution.poll())

    # when
    victims = sandboxes(run.json("plan"))
    assert len(victims) == small.WORKERS
    os.kill(victims[-1], signal.SIGKILL)

    # then
    ended = Run(main.stack, execution.run_id, main.wait(execution))
    assert ended.receipt["weights_sha256"] == undisturbed.receipt["weights_sha256"]
    assert (ended.receipt["laps"], ended.receipt["attempts"]) == (1, 2)
    assert ended.text("history") == undisturbed.text("history")
    statuses = sorted(outcome.status for outcome in ended.table.outcomes(0, 0).values())
    assert statuses == ["failed", "left", "left", "left"]
    left = [outcome for outcome in ended.table.outcomes(0, 0).values() if outcome.status == "left"]
    assert all(outcome.seconds["compute"] > 0 for outcome in left), "those who left say where their time went"
    assert [line["item"] for line in ended.receipt["lines"] if "estimated" in line.get("note", "")] == ["workers"]
    assert counting.billed_transitions(ended.receipt) == counting.transitions(main.stack.execution_arn(run.run_id))
    begun = ended.table.get(Items.start(0, 1))
    assert begun is not None
    assert begun["checkpoint"]["step"] >= 20, "the second attempt goes on from a checkpoint within the lap"


def test_a_missing_permission_is_named_and_the_model_salvaged(main: Deployment, job: dict[str, Any]) -> None:
    # given
    with without_permission(main, "s3:PutObject", on="exchange"):
        # when
        run = main.run(job | {"channel": "s3"})

    # then
    assert run.snapshot.status == "FAILED"
    assert "s3:PutObject" in run.snapshot.cause
    assert "not authorized" in run.snapshot.cause
    receipt = run.json("receipt")
    assert (receipt["status"], receipt["stopped_by"], receipt["steps"]) == ("failed", "failure", 0)
    assert counting.billed_transitions(receipt) == counting.transitions(main.stack.execution_arn(run.run_id))
    assert run.bytes("model")


@contextmanager
def without_permission(main: Deployment, action: str, on: str) -> Iterator[None]:
    """Take an action on a bucket away from the worker role, and give it back."""
    iam = boto3.client("iam")
    roles = [r["RoleName"] for page in iam.get_paginator("list_roles").paginate() for r in page["Roles"]]
    (role,) = [name for name in roles if name.startswith("paytrain-main-WorkersRoleoutside")]
    changed = {}
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        changed[name] = json.dumps(document)
        for statement in document["Statement"]:
            if on in str(statement["Resource"]).lower() and action in statement["Action"]:
                statement["Action"] = [kept for kept in statement["Action"] if kept != action]
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))
    try:
        yield
    finally:
        for name, document in changed.items():
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=document)


def test_a_stopped_execution_leaves_a_model(main: Deployment, job: dict[str, Any], tmp_path: Path) -> None:
    # given
    execution = main.start(job | {"epochs": 200})
    main.wait(execution, until=lambda s: s.progress.get("step", 0) > 30)

    # when
    execution.stop()

    # then: EventBridge tells the workers to leave, and what there is gets exported
    run = Run(main.stack, execution.run_id, main.wait(execution))
    assert run.snapshot.status == "ABORTED"
    wait_for(lambda: run.table.get(Items.STOP) is not None)
    wait_for(lambda: main.has(Keys(run.run_id).receipt))
    outcomes = run.table.outcomes(0, 0).values()
    assert [outcome.status for outcome in outcomes] == ["stopped"] * small.WORKERS
    receipt = run.json("receipt")
    assert (receipt["status"], receipt["stopped_by"]) == ("failed", "asked")
    assert {receipt["steps"]} == {outcome.step for outcome in outcomes}, "the model is that of the last step"
    assert isinstance(run.model(tmp_path), keras.Model)


def test_a_stopped_run_whose_model_and_data_are_gone_leaves_a_model(
    main: Deployment, job: dict[str, Any], tmp_path: Path
) -> None:
    # given: a run on objects that nothing else reads
    named = {"model": job["model"], "train": job["data"]["train"], "validation": job["data"]["validation"]}
    own = {role: main.copy(uri, f"uploads/vanishing/{Path(uri).name}") for role, uri in named.items()}
    data = {role: own[role] for role in ("train", "validation")}
    execution = main.start(job | {"model": own["model"], "data": data, "epochs": 200, "channel": "memcached"})
    main.wait(execution, until=lambda s: s.progress.get("step", 0) > 10)

    # when they are deleted, and the run is stopped
    for uri in own.values():
        main.delete(uri)
    execution.stop()
    run = Run(main.stack, execution.run_id, main.wait(execution))

    # then
    wait_for(lambda: main.has(Keys(run.run_id).receipt) and run.json("receipt")["evaluation"] != "not finished")
    receipt = run.json("receipt")
    assert receipt["steps"] > 0
    assert receipt["evaluation"] == (
        f"skipped: {own['validation']} has vanished during the run: keep model and data until it has ended."
    )
    assert isinstance(run.model(tmp_path), keras.Model)


def test_a_run_that_diverges_stops_with_a_sentence_and_leaves_its_last_good_model(
    main: Deployment, job: dict[str, Any], tmp_path: Path
) -> None:
    # given: a learning rate that takes the weights to infinity after some steps
    run = main.run(job | {"channel": "memcached", "learning_rate": 1e37, "checkpoint_every": 1})

    # then: at once, not after all attempts
    assert run.snapshot.status == "FAILED"
    assert "with learning_rate = 1e+37: the run stops" in run.snapshot.cause
    receipt = run.json("receipt")
    assert (receipt["status"], receipt["stopped_by"], receipt["attempts"]) == ("failed", "failure", 1)
    assert all(np.isfinite(weights).all() for weights in run.model(tmp_path).get_weights())


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + RUN_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "this has not come true"
        time.sleep(POLL_SECONDS)
