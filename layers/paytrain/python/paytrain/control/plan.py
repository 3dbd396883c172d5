"""Plan: choose what the job left open, and write down what all ranks must agree on."""

import math
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from paytrain import bill
from paytrain.control.choose import asks_planner, choose, pinned
from paytrain.control.environment import NOT_DEPLOYED, PlanEnvironment
from paytrain.control.predicted import predict
from paytrain.control.reserve import first_exchange_seconds, first_pace, refuse_too_little, reserve_of, usd_of_round
from paytrain.errors import JobError
from paytrain.exchange.tuning import dynamodb_item_bytes, tune
from paytrain.job import AUTO, EXACT_WIRES, MAX_WORKERS, WIRE_ITEM_BYTES, Job
from paytrain.memory import MB
from paytrain.metering import Spending
from paytrain.plan import Plan, Prepared, steps_per_epoch
from paytrain.planner import compute, limits, prices
from paytrain.planner.estimate import CHECKPOINT_SECONDS
from paytrain.planner.exchange import Exchange
from paytrain.planner.profile import Measured, measured
from paytrain.planner.question import Choice
from paytrain.run import Checkpoint, Items, Keys, Spent, Start, cache_id_of
from paytrain.store import Artifacts, RunTable, expiry


def plan_run(run_id: str, environment: PlanEnvironment, spending: Spending) -> dict[str, Any]:
    """Make the plan of a prepared run.

    Parameters
    ----------
    spending
        Of this invocation.

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
    table = RunTable(environment.run_table, run_id)
    spent = table.spent(Items.spent(None, None))
    run, calibrated = table.run(), measured(artifacts)
    plan = make_plan(
        run_id,
        job,
        prepared,
        environment,
        started=datetime.fromisoformat(run["started"]).timestamp(),
        prepare=_of_prepare(spent),
        most_workers=run["most_workers"],
        calibrated=calibrated,
    )
    pace, now = first_pace(plan), time.time()
    usd = bill.of([*spent, spending.so_far()]).usd
    refuse_too_little(plan, pace, usd=usd, now=now)
    found = predict(plan, environment.worker_timeout_seconds, calibrated)
    plan = plan.model_copy(update={"predicted": found})
    artifacts.put(keys.plan, plan)
    start = Start(checkpoint=Checkpoint(step=0, lap=0, attempt=0), pace=pace, usd=usd, at=now)
    table.put_once(Items.start(0, 0), start)
    return state_of(plan, lap=0, attempt=0)


def _of_prepare(spent: Sequence[Spent]) -> Spent:
    """The record of Prepare, of several attempts the last."""
    return max((record for record in spent if record.function == "prepare"), key=lambda record: record.began)


def make_plan(
    run_id: str,
    job: Job,
    prepared: Prepared,
    environment: PlanEnvironment,
    *,
    started: float,
    prepare: Spent,
    most_workers: int = MAX_WORKERS,
    calibrated: Measured | None = None,
) -> Plan:
    """Choose what the job left open.

    Parameters
    ----------
    started
        When the execution began, seconds since 1970.
    prepare
        What Prepare has used.
    most_workers
        That deployment and account allow.
    calibrated
        What a calibration has found in this account, for the planner.
    """
    _refuse_pinned(job, prepared, environment)
    if asks_planner(job):
        choice, considered = choose(job, prepared, environment, most_workers, calibrated)
    else:
        choice, considered = pinned(job), None
    channel, pattern, workers = choice.channel, choice.pattern, choice.workers
    prepared = _in_memory(prepared, choice.memory_mb)
    # One worker exchanges nothing.
    sync_every, has_cache = (choice.sync_every, channel == "memcached") if workers > 1 else (1, False)
    vector_bytes = _vector_bytes(prepared, choice)
    tuning = tune(channel, pattern, workers=workers, vector_bytes=vector_bytes)
    # What is rounded is rounded segment by segment: they are the same on every channel, for the same bits.
    cut_for = channel if choice.wire in EXACT_WIRES else "s3"
    segments = tune(cut_for, pattern, workers=workers, vector_bytes=vector_bytes).segments
    steps = steps_per_epoch(prepared.samples, workers * job.batch_size)
    seconds = prepared.step_seconds + first_exchange_seconds(vector_bytes) / sync_every
    every = max(1, math.ceil(CHECKPOINT_SECONDS / seconds)) if job.checkpoint_every == AUTO else job.checkpoint_every
    node_hour = prices.cache_usd_per_node_hour(environment.cache_node_type) if has_cache else 0.0
    return Plan.model_validate(
        {
            "run_id": run_id,
            "job": job,
            "workers": workers,
            "channel": channel,
            "pattern": pattern,
            "wire": choice.wire,
            "sync_every": sync_every,
            "memory_mb": choice.memory_mb,
            "segments": segments,
            "window": tuning.window,
            "item_bytes": _item_bytes(channel, vector_bytes, environment),
            "peer_timeout_seconds": environment.peer_timeout_seconds,
            "gang_timeout_seconds": environment.gang_timeout_seconds,
            "max_attempts": environment.max_attempts,
            "checkpoint_every": every,
            "steps_per_epoch": steps,
            "total_steps": steps * job.epochs,
            "cache_mode": environment.cache_mode,
            "cache_id": cache_id_of(environment.cache_prefix, run_id)
            if has_cache and environment.cache_mode == "per_execution"
            else "",
            "cache_endpoint": environment.cache_endpoint if has_cache else "",
            "cache_node_type": environment.cache_node_type,
            "cache_nodes": environment.cache_nodes,
            "express_bucket": environment.express_bucket if channel == "s3express" else "",
            "notifies": environment.notifies,
            "function": environment.worker(
                choice.memory_mb, "inside" if workers > 1 and channel in NOT_DEPLOYED else "outside"
            ),
            "single_function": environment.worker(choice.memory_mb, "outside"),
            "prepared": prepared,
            "considered": considered,
            "reserve": reserve_of(
                prepared=prepared,
                prepare=prepare,
                workers=workers,
                memory_mb=choice.memory_mb,
                batch_size=job.batch_size,
                started=started,
                cache_usd_per_hour=environment.cache_nodes * node_hour,
                round_usd=usd_of_round(
                    Exchange(channel, pattern, workers, prepared.vector_elements(sync_every), choice.wire)
                ),
            ),
        }
    )


def _in_memory(prepared: Prepared, memory_mb: int) -> Prepared:
    """What Prepare has measured, as it would be in a function of another size."""
    seconds = compute.step_seconds(prepared.step_seconds, prepared.memory_mb, memory_mb)
    return prepared.model_copy(update={"step_seconds": seconds, "memory_mb": memory_mb})


def _vector_bytes(prepared: Prepared, choice: Choice) -> int:
    """Of what a rank contributes to a round."""
    sync_every = choice.sync_every if choice.workers > 1 else 1
    return math.ceil(prepared.vector_elements(sync_every) * WIRE_ITEM_BYTES[choice.wire])


def _item_bytes(channel: str, vector_bytes: int, environment: PlanEnvironment) -> int:
    if channel == "memcached":
        return environment.cache_item_bytes
    return dynamodb_item_bytes(vector_bytes)


def _refuse_pinned(job: Job, prepared: Prepared, environment: PlanEnvironment) -> None:
    """Refuse what the job itself asks for and cannot have."""
    is_there = {"memcached": environment.cache_mode != "none", "s3express": bool(environment.express_bucket)}
    if not is_there.get(job.channel, True):
        raise JobError(NOT_DEPLOYED[job.channel])
    if job.channel == "memcached":
        _refuse_small_cache(job, prepared, environment)
    if job.memory_mb != AUTO:
        prepared = _in_memory(prepared, job.memory_mb)
    steps = 1 if job.sync_every == AUTO or job.workers in (1, AUTO) else job.sync_every
    _refuse_slow(job, steps, prepared, environment)


def _refuse_small_cache(job: Job, prepared: Prepared, environment: PlanEnvironment) -> None:
    """Refuse a cache that cannot hold two rounds, of one vector per worker each whatever the pattern.

    Whoever is ahead stores the next round while others still read this one.
    """
    if AUTO in (job.workers, job.wire, job.sync_every) or job.workers == 1:
        return
    choice = pinned(job)
    needed_mb = math.ceil(2 * choice.workers * _vector_bytes(prepared, choice) / MB)
    held_mb = environment.cache_nodes * limits.cache_node_mb(environment.cache_node_type)
    if needed_mb > held_mb:
        raise JobError(
            f'channel = "memcached" is not allowed: two rounds of {job.workers} workers take {needed_mb:,} MB, and '
            f"{environment.cache_nodes} × {environment.cache_node_type} hold {held_mb:,} MB; deploy with a larger "
            'cache_node_type or more cache_nodes, or use channel = "s3".'
        )


def _refuse_slow(job: Job, steps: int, prepared: Prepared, environment: PlanEnvironment) -> None:
    """Refuse what was measured to have no place in a lap: better here than by every worker."""
    needed = steps * prepared.step_seconds + prepared.save_seconds
    if needed > environment.worker_timeout_seconds:
        key, value, taken = (
            ("batch_size", job.batch_size, "a step") if steps == 1 else ("sync_every", steps, f"{steps} steps")
        )
        raise JobError(
            f"{key} = {value} is not allowed: {taken} and a checkpoint take {needed:.0f} s, and workers have "
            f"{environment.worker_timeout_seconds:.0f} s (worker_timeout_seconds); lower it, or raise memory_mb."
        )


def state_of(plan: Plan, lap: int, attempt: int) -> dict[str, Any]:
    """What the state machine carries from state to state: names and numbers, never data.

    ``expires_at`` is for the records that Step Functions itself writes: text, as DynamoDB takes numbers.
    """
    return {
        "run_id": plan.run_id,
        "function": plan.function,
        "single_function": plan.single_function,
        "cache_id": plan.cache_id,
        "ranks": list(range(plan.workers)),
        "lap": lap,
        "attempt": attempt,
        "expires_at": str(expiry()),
    }
