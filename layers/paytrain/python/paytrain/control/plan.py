"""Plan: choose what the job left open, and write down what all ranks must agree on."""

import math
from typing import Any

from paytrain.control.environment import PlanEnvironment
from paytrain.errors import JobError
from paytrain.job import WIRE_ITEM_BYTES, Job
from paytrain.plan import Plan, Prepared, steps_per_epoch
from paytrain.run import Checkpoint, Items, Keys, Start
from paytrain.store import Artifacts, RunTable

_CHECKPOINT_SECONDS = 60.0
"""Between checkpoints within a lap: what a dead worker costs at most."""
_SMALL_VECTOR_BYTES = 64 * 1024
"""Up to here a hop costs more than the bytes, so one hop is best."""
_FIRST_GUESS_MB_S = 10.0
_FIRST_GUESS_SECONDS = 0.5
"""Expected of the exchange until a round has been measured: pessimistic, it only makes a first lap shorter."""
DYNAMODB_ITEM_BYTES = 390 * 1024
"""Payload of an item: 400 KB less its key and attribute names."""


def plan_run(run_id: str, environment: PlanEnvironment) -> dict[str, Any]:
    """Make the plan of a prepared run.

    Returns
    -------
    dict
        The state machine's state: run, functions, ranks, first lap and attempt.

    Raises
    ------
    JobError
        When the job cannot work as asked.
    """
    artifacts, keys = Artifacts(environment.artifacts_bucket), Keys(run_id)
    job = Job.model_validate_json(artifacts.get(keys.job))
    prepared = Prepared.model_validate_json(artifacts.get(keys.prepared))
    plan = make_plan(run_id, job, prepared, environment)
    artifacts.put(keys.plan, plan)

    start = Start(checkpoint=Checkpoint(step=0, lap=0, attempt=0), pace=first_pace(plan))
    RunTable(environment.run_table, run_id).put_once(Items.start(0, 0), start)
    return state_of(plan, lap=0, attempt=0)


def make_plan(run_id: str, job: Job, prepared: Prepared, environment: PlanEnvironment) -> Plan:
    """Choose what the job left open."""
    channel = job.channel
    if channel == "auto":
        channel = "memcached" if environment.cache_endpoint else "s3"
    if channel == "memcached" and not environment.cache_endpoint:
        raise JobError('channel = "memcached" is not allowed: the stack was deployed with cache_mode = none.')
    vector_bytes = prepared.parameters * WIRE_ITEM_BYTES[job.wire]
    pattern = job.pattern
    if pattern == "auto":
        pattern = "all_gather" if vector_bytes <= _SMALL_VECTOR_BYTES or job.workers <= 2 else "scatter_reduce"
    steps = steps_per_epoch(prepared.samples, job.workers * job.batch_size)
    every = (
        max(1, math.ceil(_CHECKPOINT_SECONDS / (prepared.step_seconds + _exchange_seconds(vector_bytes))))
        if job.checkpoint_every == "auto"
        else job.checkpoint_every
    )
    return Plan(
        run_id=run_id,
        job=job,
        workers=job.workers,
        channel=channel,
        pattern=pattern,
        wire=job.wire,
        memory_mb=job.memory_mb,
        segments=1,
        item_bytes=environment.cache_item_bytes if channel == "memcached" else DYNAMODB_ITEM_BYTES,
        peer_timeout_seconds=environment.peer_timeout_seconds,
        gang_timeout_seconds=environment.gang_timeout_seconds,
        max_attempts=environment.max_attempts,
        checkpoint_every=every,
        steps_per_epoch=steps,
        total_steps=steps * job.epochs,
        cache_endpoint=environment.cache_endpoint if channel == "memcached" else "",
        function=environment.worker(job.memory_mb, "inside" if channel == "memcached" else "outside"),
        single_function=environment.worker(job.memory_mb, "outside"),
        prepared=prepared,
    )


def first_pace(plan: Plan) -> dict[str, float]:
    """What the first lap expects of each phase until it has seen one, in seconds."""
    prepared = plan.prepared
    pace = {
        "step": prepared.step_seconds,
        "save": prepared.save_seconds,
        "exchange": _exchange_seconds(prepared.parameters * WIRE_ITEM_BYTES[plan.wire]),
    }
    if prepared.validation_samples:
        # All ranks evaluate a part each, then exchange the metrics, and before that their own statistics.
        batches = math.ceil(math.ceil(prepared.validation_samples / plan.workers) / plan.job.batch_size)
        exchanges = sum(_exchange_seconds(8 * n) for n in (prepared.metric_elements, prepared.own_elements) if n)
        pace["epoch_end"] = batches * prepared.step_seconds + exchanges
    return pace


def _exchange_seconds(vector_bytes: int) -> float:
    return _FIRST_GUESS_SECONDS + 2 * vector_bytes / 1e6 / _FIRST_GUESS_MB_S


def state_of(plan: Plan, lap: int, attempt: int) -> dict[str, Any]:
    """What the state machine carries from state to state: names and numbers, never data."""
    return {
        "run_id": plan.run_id,
        "function": plan.function,
        "single_function": plan.single_function,
        "ranks": list(range(plan.workers)),
        "lap": lap,
        "attempt": attempt,
    }
