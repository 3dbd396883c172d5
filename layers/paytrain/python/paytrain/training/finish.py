"""Finish: export the model of the last checkpoint, evaluate it, write history and receipt."""

import hashlib
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np

from paytrain import receipt
from paytrain.plan import Plan
from paytrain.run import Checkpoint, Items, Keys, newest_complete
from paytrain.store import Artifacts, RunTable
from paytrain.training import sandbox, state
from paytrain.training.environment import WorkerEnvironment


def finish(run_id: str, environment: WorkerEnvironment, failure: dict[str, str] | None) -> dict[str, Any]:
    """End a run.

    Parameters
    ----------
    failure
        ``error`` and ``cause`` when the run has failed: the newest complete checkpoint is exported then.

    Returns
    -------
    dict
        A few lines for the execution's output: status, model, weights_sha256, metrics, seconds, dollars.
    """
    began = time.monotonic()
    artifacts, keys = Artifacts(environment.artifacts_bucket), Keys(run_id)
    table = RunTable(environment.run_table, run_id)
    plan = Plan.model_validate_json(artifacts.get(keys.plan))
    checkpoint = _last_checkpoint(plan, table, artifacts)

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
