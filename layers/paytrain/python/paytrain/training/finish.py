"""Finish: export the model of the last checkpoint, evaluate it, write history and receipt."""

import hashlib
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np

from paytrain import receipt
from paytrain.plan import Plan
from paytrain.run import RUN_STOPPED, Checkpoint, Items, Keys, newest_complete
from paytrain.store import Artifacts, RunTable
from paytrain.training import sandbox, state
from paytrain.training.environment import WorkerEnvironment

_STOP_SECONDS = 120.0
"""How long workers may take to see the mark, finish their round and save."""
_LOOK_SECONDS = 1.0


def finish(
    run_id: str,
    environment: WorkerEnvironment,
    failure: dict[str, str] | None,
    seconds_left: Callable[[], float],
) -> dict[str, Any]:
    """End a run.

    Parameters
    ----------
    failure
        ``error`` and ``cause`` when the run has failed: the newest complete checkpoint is exported then.
    seconds_left
        Until the platform kills the invocation.

    Returns
    -------
    dict
        A few lines for the execution's output: status, model, weights_sha256, metrics, seconds, dollars.
    """
    began = time.monotonic()
    artifacts, keys = Artifacts(environment.artifacts_bucket), Keys(run_id)
    table = RunTable(environment.run_table, run_id)
    plan = Plan.model_validate_json(artifacts.get(keys.plan))
    if failure and failure["error"] == RUN_STOPPED:
        _wait_for_workers(plan, table, seconds_left)
    checkpoint = _last_checkpoint(plan, table, artifacts)

    sandbox.keep_only([plan.prepared.train, plan.prepared.validation])
    rows = sandbox.data_of(plan.prepared.train)
    trainer = sandbox.trainer_of(plan.job, plan.prepared.model, rows)
    progress = state.load(trainer, artifacts, keys, checkpoint, rank=0)
    state.average_own(trainer, artifacts, keys, checkpoint, plan.workers)
    trainer.model.optimizer.finalize_variable_values(trainer.trainable)
    artifacts.put(keys.model, _exported(trainer.model))
    artifacts.put_json(keys.history, progress.history)

    results: dict[str, float] = dict(progress.history[-1]) if progress.history else {}
    if plan.prepared.validation:
        validation = sandbox.data_of(plan.prepared.validation)
        size = plan.job.batch_size
        scores = trainer.model.evaluate(validation.x, validation.y, batch_size=size, verbose=0, return_dict=True)
        results |= {f"val_{name}": float(value) for name, value in scores.items()}

    bill = receipt.make(
        plan,
        run=table.get(Items.RUN) or {},
        outcomes=table.all_outcomes(),
        final=checkpoint,
        failure=failure,
        weights_sha256=weights_sha256(trainer.model),
        results=results,
        finish_seconds=time.monotonic() - began,
        ended=datetime.now(UTC),
    )
    artifacts.put_json(keys.receipt, bill)
    return {
        "run_id": run_id,
        "status": bill["status"],
        "model": f"s3://{artifacts.bucket}/{keys.model}",
        "receipt": f"s3://{artifacts.bucket}/{keys.receipt}",
        "weights_sha256": bill["weights_sha256"],
        "results": results,
        "seconds": bill["seconds"],
        "usd": bill["usd"],
    }


def _wait_for_workers(plan: Plan, table: RunTable, seconds_left: Callable[[], float]) -> None:
    """Let the workers of a stopped run save and leave; for no longer than half the time that is left."""
    patience = min(_STOP_SECONDS, seconds_left() / 2)
    deadline = time.monotonic() + patience
    lap, attempt = table.newest_start()
    while time.monotonic() < deadline and table.claimed_ranks(lap, attempt) - set(table.outcomes(lap, attempt)):
        time.sleep(_LOOK_SECONDS)


def weights_sha256(model: keras.Model) -> str:
    """One digest over all weights: dtype, shape and bytes of each, in Keras' order."""
    digest = hashlib.sha256()
    for value in model.get_weights():
        array = np.ascontiguousarray(value)
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _last_checkpoint(plan: Plan, table: RunTable, artifacts: Artifacts) -> Checkpoint:
    """The checkpoint that CloseLap chose as the last; without one, the newest that is complete."""
    final = table.get(Items.FINAL)
    if final is not None:
        return Checkpoint.model_validate(final)
    newest = newest_complete(artifacts.checkpoints(plan.run_id), plan.workers, plan.prepared.has_own_state)
    return newest or Checkpoint(step=0, lap=0, attempt=0)


def _exported(model: keras.Model) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        return path.read_bytes()
