"""Resolve: the execution input becomes a job, with defaults, before anything is spent."""

import json
from typing import Any

from paytrain import memory
from paytrain.control import sources
from paytrain.control.environment import NOT_DEPLOYED, ResolveEnvironment
from paytrain.errors import JobError
from paytrain.job import AUTO, Data, Job, parse_job
from paytrain.run import Items, Keys, run_id_of
from paytrain.store import Artifacts, RunTable, client, split_uri

_EXAMPLE = "example:"


def resolve(event: dict[str, Any], environment: ResolveEnvironment) -> dict[str, Any]:
    """Validate an execution input and store the job.

    Parameters
    ----------
    event
        ``input``, ``execution`` (name), ``execution_arn`` and ``started`` of the execution.

    Returns
    -------
    dict
        ``run_id``, the function that runs Prepare and Finish, and whether a calibration is asked for in place of a run.

    Raises
    ------
    JobError
        With one sentence that names the key, the value and what is allowed.
    """
    if isinstance(event["input"], dict) and "calibrate" in event["input"]:
        return _calibration(event, environment)
    job = parse_job(event["input"], environment.job_defaults)
    if job.workers != AUTO and job.workers > environment.max_workers:
        raise JobError(
            f"workers = {job.workers} is not allowed: this deployment runs at most {environment.max_workers} "
            "(context key max_workers)."
        )
    # Prepare does not know yet what will be enough.
    memory_mb = max(map(int, environment.worker_functions)) if job.memory_mb == AUTO else job.memory_mb
    single_function = environment.worker(memory_mb, "outside")
    if job.channel in NOT_DEPLOYED and job.channel not in environment.channels:
        raise JobError(NOT_DEPLOYED[job.channel])
    job = job.model_copy(update={"model": _model_uri(job, environment), "data": _data(job, environment)})
    most_workers = min(environment.max_workers, _concurrency(job))
    _refuse_absent(job, memory_mb, environment)

    run_id = run_id_of(event["execution"])
    Artifacts(environment.artifacts_bucket).put(Keys(run_id).job, job)
    record = {
        "execution": event["execution_arn"],
        "started": event["started"],
        "single_function": single_function,
        "most_workers": most_workers,
    }
    RunTable(environment.run_table, run_id).put(Items.RUN, record)
    return {"run_id": run_id, "single_function": single_function, "calibrate": False}


def _calibration(event: dict[str, Any], environment: ResolveEnvironment) -> dict[str, Any]:
    """The workers that measure, with the memory of a usual run."""
    others = event["input"].keys() - {"calibrate", "Comment"}
    if others or event["input"]["calibrate"] is not True:
        given = json.dumps(event["input"]["calibrate"])
        beside = f" beside {', '.join(sorted(others))}" if others else ""
        raise JobError(f"calibrate = {given}{beside} is not allowed: it must be true, and stand alone.")
    sizes = sorted(environment.worker_functions, key=int)
    usual = str(environment.job_defaults.get("memory_mb"))
    functions = environment.worker_functions[usual if usual in sizes else sizes[0]]
    outside = functions["outside"]
    return {
        "run_id": run_id_of(event["execution"]),
        "single_function": outside,
        "function": functions.get("inside", outside),
        "calibrate": True,
    }


def _model_uri(job: Job, environment: ResolveEnvironment) -> str:
    if job.model.startswith(_EXAMPLE):
        return _example("model", job.model, environment)["model"]
    _refuse_bucket("model", job.model, environment)
    return job.model


def _data(job: Job, environment: ResolveEnvironment) -> Data:
    if isinstance(job.data, Data):
        for key, uri in (("data.train", job.data.train), ("data.validation", job.data.validation)):
            if uri is not None:
                _refuse_bucket(key, uri, environment)
        return job.data
    if not job.data.startswith(_EXAMPLE):
        _refuse_bucket("data", job.data, environment)
        return Data(train=job.data)
    example = _example("data", job.data, environment)
    return Data(train=example["train"], validation=example["validation"])


def _example(key: str, value: str, environment: ResolveEnvironment) -> dict[str, str]:
    found = environment.examples.get(value.removeprefix(_EXAMPLE))
    if found is None:
        known = ", ".join(f"{_EXAMPLE}{name}" for name in environment.examples)
        raise JobError(f'{key} = "{value}" is not allowed: the examples are {known}.')
    return found


def _refuse_bucket(key: str, uri: str, environment: ResolveEnvironment) -> None:
    allowed = [environment.artifacts_bucket, *environment.data_buckets]
    if split_uri(uri)[0] not in allowed:
        raise JobError(
            f'{key} = "{uri}" is not allowed: its bucket must be one of {", ".join(allowed)} '
            "(context key data_buckets adds more)."
        )


def _refuse_absent(job: Job, memory_mb: int, environment: ResolveEnvironment) -> None:
    """Look at what the job names in S3; the examples were deployed with the stack.

    What is larger than the memory as a file is refused here; Prepare knows more.
    """
    deployed = {uri for example in environment.examples.values() for uri in example.values()}
    model_bytes = data_bytes = 0
    if job.model not in deployed:
        model_bytes = sources.refuse_model("model", job.model, environment.region)
    assert isinstance(job.data, Data)
    for key, uri in (("data.train", job.data.train), ("data.validation", job.data.validation)):
        if uri is not None and uri not in deployed:
            data_bytes += sources.refuse_data(key, uri, environment.region)
    need = memory.Need(model=model_bytes, optimizer=0, gradient=0, residuals=0, data=data_bytes)
    memory.refuse_too_large(need, memory_mb, [int(size) for size in environment.worker_functions])


def _concurrency(job: Job) -> int:
    """How many functions the account may run at once: a larger gang would wait for itself."""
    limits = client("lambda").get_account_settings()["AccountLimit"]
    available: int = limits.get("UnreservedConcurrentExecutions", limits["ConcurrentExecutions"])
    if job.workers != AUTO and job.workers > available:
        raise JobError(
            f"workers = {job.workers} is not allowed: this account runs at most {available} functions at once "
            "(Service Quotas, AWS Lambda, Concurrent executions)."
        )
    return available
