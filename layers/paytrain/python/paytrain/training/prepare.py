"""Prepare: read the model and the data once, refuse what cannot work, write checkpoint 0, time real steps."""

import math
import os
import time
from collections.abc import Sequence

import keras
import numpy as np

from paytrain import memory
from paytrain.errors import JobError
from paytrain.exchange.wires import WIRES
from paytrain.exchange.wires.residuals import residuals_of
from paytrain.job import AUTO, EXACT_WIRES, Data, Job
from paytrain.plan import Prepared, Source
from paytrain.run import Checkpoint, Keys
from paytrain.store import Artifacts, client, opened, split_uri
from paytrain.training import data, export, sandbox, state
from paytrain.training.batches import Batches
from paytrain.training.data import Rows
from paytrain.training.early_stopping import larger_is_better
from paytrain.training.environment import WorkerEnvironment
from paytrain.training.feed import Feed
from paytrain.training.local_steps import state_elements
from paytrain.training.ranges import ranges, refuse_outside
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
    artifacts, keys = Artifacts(environment.artifacts_bucket), Keys(run_id)
    job = Job.model_validate_json(artifacts.get(keys.job))
    if not isinstance(job.data, Data):
        raise JobError(f'data = "{job.data}" has not been resolved to S3 objects.')
    sandbox.keep_only([])
    train, rows = data.index(job.data.train)
    validation, validation_rows = data.index(job.data.validation) if job.data.validation else ((), None)
    _refuse_data(job, rows, validation_rows)

    sandbox.forget_trainers()
    etag = _etag_of(job.model)
    fresh, wire = _fresh_model(job, etag)
    trainer = Trainer(fresh, wire, rows.take(slice(1)))
    allowed = list(ranges(trainer.model, trainer.layout))
    refuse_outside(allowed, train, rows)
    if validation_rows is not None:
        trainer.layout.refuse_other(set(validation_rows.arrays))
        refuse_outside(allowed, validation, validation_rows)
    _refuse_monitor(job, trainer)
    arrays = [array for each in (rows, validation_rows) if each for array in each.arrays.values()]
    data_bytes = sum(array.nbytes for array in arrays)
    _refuse_memory(job, trainer, wire, data_bytes, environment)
    export.refuse_too_large(trainer.model, job.model)
    # What Finish needs is kept with the run.
    model = Source(uri=artifacts.uri(keys.source), etag=artifacts.copy(keys.source, job.model, etag))
    row = data.pack(Rows(rows.take(slice(1))))
    sample = Source(uri=artifacts.uri(keys.sample), etag=artifacts.put(keys.sample, row), rows=1)
    began = time.monotonic()
    start = Checkpoint(step=0, lap=0, attempt=0)
    state.save(trainer, state.Progress.start(trainer), artifacts, keys, start, 0, residuals_of(wire))
    save_seconds = time.monotonic() - began

    rule = job.early_stopping
    prepared = Prepared(
        model=model,
        sample=sample,
        train=train,
        validation=validation,
        parameters=trainer.parameters,
        state_elements=state_elements(trainer.model),
        own_elements=trainer.own_state().size,
        has_own_state=bool(trainer.own),
        metric_elements=trainer.metric_elements,
        exact_wire="float64" if WIRES[wire].dtype.itemsize == 8 else "float32",
        model_bytes=_bytes(trainer.model.weights),
        optimizer_bytes=_bytes(trainer.model.optimizer.variables),
        data_bytes=data_bytes,
        memory_mb=environment.memory_mb,
        vcpus=len(os.sched_getaffinity(0)),
        samples=len(rows),
        validation_samples=len(validation_rows) if validation_rows else 0,
        is_larger_better=rule is not None and larger_is_better(trainer.model, rule.monitor),
        step_seconds=_time_steps(trainer, rows, job),
        save_seconds=save_seconds,
    )
    artifacts.put(keys.prepared, prepared)
    sandbox.keep(trainer, model, wire, job.learning_rate)
    return prepared


def _etag_of(uri: str) -> str:
    bucket, key = split_uri(uri)
    s3 = client("s3")
    try:
        etag: str = s3.head_object(Bucket=bucket, Key=key)["ETag"]
    except s3.exceptions.ClientError as error:
        raise JobError(f'model = "{uri}" cannot be read: {error.response["Error"]["Code"]}.') from error
    return etag


def _time_steps(trainer: Trainer, rows: Rows, job: Job) -> float:
    """Seconds of the slowest of a few real steps, after one that is not counted."""
    # A step is on one rank's batch, however many ranks there will be.
    batches = Batches(len(rows), job.batch_size, 1, job.seed, job.shuffle)
    batch = Feed(rows, batches, 0, trainer.divisors(rows), trainer.losses.is_sum).batch(0)
    seeds = np.zeros((len(trainer.seed_states), 2), np.uint32)
    trainer.warm_up(rows, {batch.rows}, set())
    slowest = 0.0
    for _ in range(_TIMED_STEPS):
        began = time.monotonic()
        trainer.apply(trainer.gradients(trainer.gradient(batch, seeds).gradient))
        slowest = max(slowest, time.monotonic() - began)
    return slowest


def _refuse_data(job: Job, rows: Rows, validation: Rows | None) -> None:
    assert isinstance(job.data, Data)
    if len(rows) == 0:
        raise JobError(f'data.train = "{job.data.train}" is not allowed: it has no samples.')
    if job.workers != AUTO and len(rows) < job.workers:
        raise JobError(
            f"workers = {job.workers} is not allowed: it must be at most {len(rows)}, the number of training samples."
        )
    if validation is None:
        return
    if len(validation) == 0:
        raise JobError(f'data.validation = "{job.data.validation}" is not allowed: it has no samples.')
    for name, array in validation.arrays.items():
        first = rows.arrays.get(name)
        if first is not None and first.shape[1:] != array.shape[1:]:
            raise JobError(
                f"data.validation is not allowed: {name} has shape {array.shape[1:]} per sample, "
                f"in the training data {first.shape[1:]}."
            )


def _fresh_model(job: Job, etag: str) -> tuple[keras.Model, str]:
    """The model, and the wire that it is prepared for; of one that is left open the exact one of its dtype."""

    def load(wire: str) -> keras.Model:
        with opened(job.model, etag) as file:
            return sandbox.fresh_model(file, job.model, wire, job.learning_rate)

    if job.wire != AUTO:
        return load(job.wire), job.wire
    usual, wide = EXACT_WIRES
    model = load(usual)
    if all(variable.dtype != wide for variable in model.trainable_variables):
        return model, usual
    # Keras has read it as it reads models of float32.
    del model
    return load(wide), wide


def _refuse_memory(job: Job, trainer: Trainer, wire: str, data_bytes: int, environment: WorkerEnvironment) -> None:
    """What is left to the planner is taken to need least; it knows what more the others need."""
    is_local = job.sync_every not in (1, AUTO) and job.workers != 1
    need = memory.need_of(
        model=_bytes(trainer.model.weights),
        optimizer=_bytes(trainer.model.optimizer.variables),
        data=data_bytes,
        elements=state_elements(trainer.model) if is_local else trainer.parameters,
        itemsize=WIRES[wire].dtype.itemsize,
        has_residual=WIRES[wire].has_residual,
        is_local=is_local,
    )
    memory.refuse_too_large(need, environment.memory_mb, environment.worker_memory_sizes)


def _bytes(variables: Sequence[keras.Variable]) -> int:
    return sum(math.prod(variable.shape) * np.dtype(variable.dtype).itemsize for variable in variables)


def _refuse_monitor(job: Job, trainer: Trainer) -> None:
    if job.early_stopping is None:
        return
    assert isinstance(job.data, Data)
    names = list(trainer.results(np.zeros(trainer.metric_elements), 0))
    allowed = names + [f"val_{name}" for name in names] if job.data.validation else names
    if job.early_stopping.monitor not in allowed:
        raise JobError(
            f'early_stopping.monitor = "{job.early_stopping.monitor}" is not allowed: '
            f"it must be one of {', '.join(allowed)}."
        )
