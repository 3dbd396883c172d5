"""Finish: export the model of the last checkpoint, write history and receipt, then evaluate in the time left."""

import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import keras
import numpy as np

from paytrain import receipt
from paytrain.limits import seconds_until_limits
from paytrain.metering import Spending
from paytrain.plan import Plan
from paytrain.run import RUN_STOPPED, Checkpoint, Items, Keys, complete, newest
from paytrain.store import Artifacts, RunTable
from paytrain.training import sandbox, state
from paytrain.training.environment import WorkerEnvironment
from paytrain.training.evaluation import evaluate
from paytrain.training.export import export

_STOP_SECONDS = 120.0
"""How long workers may take to see the mark, finish their round and save."""
_LOOK_SECONDS = 1.0


def finish(
    run_id: str,
    environment: WorkerEnvironment,
    failure: dict[str, str] | None,
    seconds_left: Callable[[], float],
    spending: Spending,
) -> dict[str, Any]:
    """End a run; ending it again gives the same.

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
    artifacts, keys = Artifacts(environment.artifacts_bucket), Keys(run_id)
    table = RunTable(environment.run_table, run_id)
    plan = Plan.model_validate_json(artifacts.get(keys.plan))
    if failure and failure["error"] == RUN_STOPPED:
        _wait_for_workers(plan, table, seconds_left)
    checkpoint = _last_checkpoint(plan, table, artifacts)

    sandbox.keep_only([(plan.prepared.sample,), plan.prepared.validation])
    trainer = sandbox.trainer_of(plan, sandbox.data_of((plan.prepared.sample,)))
    progress = state.load(trainer, artifacts, keys, checkpoint, rank=0)
    state.average_own(trainer, artifacts, keys, checkpoint, plan.workers)
    trainer.model.optimizer.finalize_variable_values(trainer.trainable)
    export(trainer.model, artifacts, keys.model)
    artifacts.put_json(keys.history, progress.history)
    results: dict[str, float] = dict(progress.history[-1]) if progress.history else {}
    limit = _limit(table)
    run, outcomes, spent = table.get(Items.RUN) or {}, table.all_outcomes(), table.spent()
    digest = weights_sha256(trainer.model)

    def write_receipt(evaluation: str) -> dict[str, Any]:
        bill = receipt.make(
            plan,
            run=run,
            outcomes=outcomes,
            final=checkpoint,
            failure=failure,
            limit=limit,
            weights_sha256=digest,
            results=results,
            evaluation=evaluation,
            # The receipt's own request is still to come, and the record of this invocation.
            spent=[*spent, spending.so_far(s3_put=1, dynamodb_requests=1, dynamodb_write_units=1)],
            ended=datetime.now(UTC),
        )
        artifacts.put_json(keys.receipt, bill)
        return bill

    # Whatever becomes of the evaluation, model and receipt are there.
    begun, usd = time.monotonic(), write_receipt(evaluation="not finished")["usd"]
    until_limits = seconds_until_limits(plan, usd=usd, now=time.time())

    def seconds_for_scores() -> float:
        return min(seconds_left(), until_limits - (time.monotonic() - begun))

    scores, evaluation = evaluate(trainer, plan, seconds_for_scores)
    results |= scores
    bill = write_receipt(evaluation)
    return {
        "run_id": run_id,
        "status": bill["status"],
        "model": artifacts.uri(keys.model),
        "receipt": artifacts.uri(keys.receipt),
        "weights_sha256": bill["weights_sha256"],
        "results": results,
        "evaluation": evaluation,
        "seconds": bill["seconds"],
        "usd": bill["usd"],
    }


def _limit(table: RunTable) -> str:
    """The limit that CloseLap found reached when it ended the run; empty if it was none."""
    closed = table.get(Items.closed(*table.newest_start())) or {}
    return str(closed.get("stopped_by", ""))


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
    """The checkpoint that CloseLap chose as the last; without one, the newest that is complete, once and for all."""
    if table.get(Items.FINAL) is None:
        found = artifacts.checkpoints(plan.run_id)
        table.put_once(Items.FINAL, newest(complete(found, plan.workers, plan.has_rank_parts)))
    return Checkpoint.model_validate(table.get(Items.FINAL))
