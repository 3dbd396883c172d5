"""What the job left to "auto": the planner's choice among what is deployed, and what it looked at."""

from dataclasses import replace

from paytrain import memory
from paytrain.control.environment import PlanEnvironment
from paytrain.control.predicted import facts_of
from paytrain.errors import JobError
from paytrain.exchange.simulator.profile import of
from paytrain.job import AUTO, EXACT_WIRES, WIRES_WITH_RESIDUAL, Job
from paytrain.metering import architecture
from paytrain.plan import Candidate, Considered, Prepared
from paytrain.planner.estimate import Estimate
from paytrain.planner.profile import Measured, over_built_in
from paytrain.planner.question import LONGEST_TIMEOUT_SECONDS, Cache, Choice, Deployment, Open
from paytrain.planner.search import Found, search

_WIRES = (*EXACT_WIRES[:1], "bfloat16", "int8")
"""Of a float32 model: float16 may overflow, and topk changes what is learnt more than a planner should."""
_SYNC_EVERY = (1, 2, 4, 8)
"""Beyond, the accuracy that is lost is no longer small (docs/local-steps.md)."""
_SHOWN = 20
"""Candidates and refusals that are stored with the plan."""


def asks_planner(job: Job) -> bool:
    """Whether something is left open."""
    return AUTO in (job.channel, job.pattern) or bool(_open_results(job))


def pinned(job: Job) -> Choice:
    """The choice of a job that leaves nothing open."""
    assert job.workers != AUTO
    assert job.memory_mb != AUTO
    assert job.sync_every != AUTO
    return Choice(job.channel, job.pattern, job.workers, job.memory_mb, job.wire, job.sync_every)


def _open_results(job: Job) -> list[str]:
    """Keys left open that change the result's bits."""
    return [key for key in ("workers", "memory_mb", "wire", "sync_every") if getattr(job, key) == AUTO]


def choose(
    job: Job, prepared: Prepared, environment: PlanEnvironment, most_workers: int, calibrated: Measured | None = None
) -> tuple[Choice, Considered]:
    """Ask the planner.

    Parameters
    ----------
    most_workers
        That deployment and account allow.
    calibrated
        What a calibration has found in this account; what it lacks is as the library ships it.

    Raises
    ------
    JobError
        When no way can work, or none keeps the job's limits.
    """
    deployment, open_keys = _deployment(environment, most_workers), _open_results(job)
    options, profile = _open(job, prepared, deployment), of(over_built_in(calibrated))
    found = search(
        facts_of(job, prepared),
        deployment,
        options,
        profile=profile,
        budget_usd=job.budget_usd,
        deadline_minutes=job.deadline_minutes,
    )
    if found.recommended is None and not open_keys:
        # Limits end such a run, with what it has learnt, and a lap that is short here is no other elsewhere.
        ample = replace(deployment, worker_timeout_seconds=LONGEST_TIMEOUT_SECONDS)
        found = search(facts_of(job, prepared), ample, options, profile=profile)
    if found.recommended is None:
        open_keys = open_keys or [key for key in ("channel", "pattern") if getattr(job, key) == AUTO]
        raise JobError(f'{" and ".join(open_keys)} = "auto" finds no way to run this job: {" ".join(found.reasons)}')
    chosen, choice = _candidate(found.recommended), found.recommended.choice
    memory.refuse_too_large(
        _need(prepared, choice), choice.memory_mb, [int(size) for size in environment.worker_functions]
    )
    return choice, _considered(found, chosen)


def _considered(found: Found, chosen: Candidate) -> Considered:
    """What is stored of a search: bounded, whatever was looked at."""
    front = [_candidate(each) for each in found.front]
    others = [_candidate(each) for each in found.considered]
    return Considered(
        chosen=chosen,
        reasons=found.reasons,
        advice=found.advice,
        front=front[:_SHOWN],
        others=[each for each in others if each not in front][:_SHOWN],
        refused=dict(list(found.refused.items())[:_SHOWN]),
        ways=len(found.considered) + len(found.refused),
    )


def _deployment(environment: PlanEnvironment, most_workers: int) -> Deployment:
    has_cache = environment.cache_mode != "none"
    cache = Cache(
        environment.cache_mode, environment.cache_node_type, environment.cache_nodes, environment.cache_item_bytes
    )
    optional = {"s3express": environment.express_bucket, "memcached": has_cache}
    return Deployment(
        channels=["s3", "dynamodb", *(channel for channel, there in optional.items() if there)],
        memory_sizes=sorted(map(int, environment.worker_functions)),
        caches=(cache,) if has_cache else (),
        max_workers=most_workers,
        worker_timeout_seconds=environment.worker_timeout_seconds,
        architecture=architecture(),
    )


def _open(job: Job, prepared: Prepared, deployment: Deployment) -> Open:
    """What may be chosen from; what the job pins leaves one value."""
    usual = Open()
    wires: tuple[str, ...] = (job.wire,)
    if job.wire == AUTO:
        is_local = job.sync_every not in (1, AUTO)
        wires = _WIRES if prepared.exact_wire == _WIRES[0] and not is_local else (prepared.exact_wire,)
    every: tuple[int, ...] = (1,)
    if job.sync_every != AUTO:
        every = (job.sync_every,)
    elif wires[0] in EXACT_WIRES:
        every = _SYNC_EVERY
    return Open(
        channels=deployment.channels if job.channel == AUTO else (job.channel,),
        patterns=usual.patterns if job.pattern == AUTO else (job.pattern,),
        workers=usual.workers if job.workers == AUTO else (job.workers,),
        memory_mb=deployment.memory_sizes if job.memory_mb == AUTO else (job.memory_mb,),
        wires=wires,
        sync_every=every,
    )


def _need(prepared: Prepared, choice: Choice) -> memory.Need:
    return memory.need_of(
        model=prepared.model_bytes,
        optimizer=prepared.optimizer_bytes,
        data=prepared.data_bytes,
        elements=prepared.vector_elements(choice.sync_every),
        itemsize=8 if choice.wire == EXACT_WIRES[1] else 4,
        has_residual=choice.wire in WIRES_WITH_RESIDUAL,
        is_local=choice.sync_every > 1,
    )


def _candidate(estimate: Estimate) -> Candidate:
    choice = estimate.choice
    return Candidate(
        channel=choice.channel,
        pattern=choice.pattern,
        workers=choice.workers,
        memory_mb=choice.memory_mb,
        wire=choice.wire,
        sync_every=choice.sync_every,
        seconds=round(estimate.seconds.expected, 1),
        usd=round(estimate.usd.expected, 6),
    )
