"""Prepare: read the model and the data once, refuse what cannot work, write checkpoint 0, time real steps."""

import time

import numpy as np

from paytrain.errors import JobError
from paytrain.job import Data, Job
from paytrain.plan import Prepared, Source
from paytrain.run import Checkpoint, Keys
from paytrain.store import Artifacts, client, split_uri
from paytrain.training import data, sandbox, state
from paytrain.training.data import Rows
from paytrain.training.environment import WorkerEnvironment
from paytrain.training.trainer import Trainer

_TIMED_STEPS = 3


def prepare(run_id: str, environment: WorkerEnvironment) -> Prepared:
    """Prepare a run.

    Returns
    -------
    Prepared
        Also written to the artifacts bucket, for the Plan state.

    Raises
    ------
    JobError
        When model or data cannot be trained as the job says.
    """
    entered = time.monotonic()
    artifacts, keys = Artifacts(environment.artifacts_bucket), Keys(run_id)
    job = Job.model_validate_json(artifacts.get(keys.job))
    if not isinstance(job.data, Data):
        raise JobError(f'data = "{job.data}" has not been resolved to S3 objects.')
    sandbox.keep_only([])
    train, rows = data.index(job.data.train)
    validation, validation_rows = data.index(job.data.validation) if job.data.validation else ((), None)
    _refuse_data(job, rows, validation_rows)

    model = _source_of(job.model)
    sandbox.forget_trainers()
    trainer = Trainer(sandbox.fresh_model(job, model), job.wire, rows.x[:1], rows.y[:1])
    _refuse_monitor(job, trainer)
    began = time.monotonic()
    start = Checkpoint(step=0, lap=0, attempt=0)
    state.save(trainer, state.Progress.start(trainer), artifacts, keys, start, rank=0)
    save_seconds = time.monotonic() - began

    prepared = Prepared(
        model=model,
        train=train,
        validation=validation,
        parameters=trainer.parameters,
        own_elements=trainer.own_state().size,
        has_own_state=bool(trainer.own),
        metric_elements=trainer.metric_elements,
        samples=len(rows),
        validation_samples=len(validation_rows) if validation_rows else 0,
        variable_type=trainer.trainable[0].dtype,
        step_seconds=_time_steps(trainer, rows, job),
        save_seconds=save_seconds,
        seconds=time.monotonic() - entered,
    )
    artifacts.put(keys.prepared, prepared)
    return prepared


def _source_of(uri: str) -> Source:
    bucket, key = split_uri(uri)
    s3 = client("s3")
    try:
        return Source(uri=uri, etag=s3.head_object(Bucket=bucket, Key=key)["ETag"])
    except s3.exceptions.ClientError as error:
        raise JobError(f'model = "{uri}" cannot be read: {error.response["Error"]["Code"]}.') from error


def _time_steps(trainer: Trainer, rows: Rows, job: Job) -> float:
    """Seconds of the slowest of a few real steps, after one that is not counted."""
    x, y = rows.x[: job.batch_size], rows.y[: job.batch_size]
    seeds = np.zeros((len(trainer.seed_states), 2), np.uint32)
    trainer.warm_up(x, y, {len(x)}, set())
    slowest = 0.0
    for _ in range(_TIMED_STEPS):
        began = time.monotonic()
        trainer.apply(trainer.gradient(x, y, seeds, len(x)).gradient, len(x))
        slowest = max(slowest, time.monotonic() - began)
    return slowest


def _refuse_data(job: Job, rows: Rows, validation: Rows | None) -> None:
    if len(rows) == 0:
        raise JobError("data.train is not allowed: it has no samples.")
    if len(rows) < job.workers:
        raise JobError(f"workers = {job.workers} is not allowed: there are only {len(rows)} training samples.")
    if validation is None:
        return
    if len(validation) == 0:
        raise JobError("data.validation is not allowed: it has no samples.")
    for name, first, other in (("x", rows.x, validation.x), ("y", rows.y, validation.y)):
        if first.shape[1:] != other.shape[1:]:
            raise JobError(
                f"data.validation is not allowed: {name} has shape {other.shape[1:]} per sample, "
                f"in the training data {first.shape[1:]}."
            )


def _refuse_monitor(job: Job, trainer: Trainer) -> None:
    if job.early_stopping is None:
        return
    assert isinstance(job.data, Data)
    names = ["loss", *trainer.results(np.zeros(trainer.metric_elements - 1))]
    allowed = names + [f"val_{name}" for name in names] if job.data.validation else names
    if job.early_stopping.monitor not in allowed:
        raise JobError(
            f'early_stopping.monitor = "{job.early_stopping.monitor}" is not allowed: '
            f"it must be one of {', '.join(allowed)}."
        )
