"""Resolve: the execution input becomes a job, with defaults, before anything is spent."""

from typing import Any

from paytrain.control.environment import ResolveEnvironment
from paytrain.errors import JobError
from paytrain.job import Data, Job, parse_job
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
        ``run_id`` and the function that runs Prepare and Finish.

    Raises
    ------
    JobError
        With one sentence that names the key, the value and what is allowed.
    """
    job = parse_job(event["input"], environment.job_defaults)
    single_function = environment.worker(job.memory_mb, "outside")
    if job.channel == "memcached":
        environment.worker(job.memory_mb, "inside")
    job = job.model_copy(update={"model": _model_uri(job, environment), "data": _data(job, environment)})
    _refuse_concurrency(job)

    run_id = run_id_of(event["execution"])
    Artifacts(environment.artifacts_bucket).put(Keys(run_id).job, job)
    record = {"execution": event["execution_arn"], "started": event["started"], "single_function": single_function}
    RunTable(environment.run_table, run_id).put(Items.RUN, record)
    return {"run_id": run_id, "single_function": single_function}


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


def _refuse_concurrency(job: Job) -> None:
    """A gang that cannot all run would wait for itself."""
    limits = client("lambda").get_account_settings()["AccountLimit"]
    available = limits.get("UnreservedConcurrentExecutions", limits["ConcurrentExecutions"])
    if job.workers > available:
        raise JobError(
            f"workers = {job.workers} is not allowed: this account runs at most {available} functions at once "
            "(Service Quotas, AWS Lambda, Concurrent executions)."
        )
