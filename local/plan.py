"""What a job would take and cost, every way to run it: ``python -m local.plan``; nothing is deployed or run."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from local import plan_page, plan_table
from local.pairs import override
from local.plan_job import facts_of
from local.terminal import LocalError, console
from local.train import read_job
from local.twin import ROOT
from paytrain.errors import JobError
from paytrain.exchange.simulator.profile import Profile, of
from paytrain.job import AUTO, parse_job
from paytrain.planner import prices
from paytrain.planner import profile as measurements
from paytrain.planner.estimate import Estimate
from paytrain.planner.profile import Measured
from paytrain.planner.question import Cache, Deployment, JobFacts, Open
from paytrain.planner.search import Found, search

MEMORY_MB = (1769, 3008, 5307, 10240)
"""One, 1.7, three and six processors; a new account's functions have at most 3,008 MB."""
NODE_TYPES = ("cache.t4g.micro", "cache.m7g.large", "cache.c7gn.xlarge")
OTHER_WIRES = ("bfloat16", "int8", "topk")
SYNC_EVERY = (1, 4, 16)


def question(job: Mapping[str, Any]) -> tuple[Deployment, Open]:
    """Everything that could be deployed, and all that may be chosen; the job's own wire and sync_every first."""
    context = json.loads((ROOT / "cdk.json").read_text())["context"]
    deployment = Deployment(
        channels=("s3", "s3express", "dynamodb", "memcached"),
        memory_sizes=MEMORY_MB,
        caches=[Cache(mode, node) for node in NODE_TYPES for mode in ("provisioned", "per_execution")],
        max_workers=context["max_workers"],
        worker_timeout_seconds=context["worker_timeout_seconds"],
    )
    pinned = {key: value for key, value in job.items() if value != AUTO}
    wire, every = pinned.get("wire", "float32"), pinned.get("sync_every", 1)
    wires = (wire, *(each for each in OTHER_WIRES if each != wire and wire != "float64"))
    return deployment, Open(wires=wires, sync_every=(every, *(each for each in SYNC_EVERY if each != every)))


def as_written(facts: JobFacts, job: Mapping[str, Any], profile: Profile) -> Found | None:
    """The job with its own values and the stack's defaults, over the channel that the Plan state would take.

    Returns
    -------
    Found or None
        None for a job that leaves more than channel and pattern to the planner.
    """
    context = json.loads((ROOT / "cdk.json").read_text())["context"]
    wanted = {key: job.get(key, context[key]) for key in ("workers", "memory_mb", "wire", "sync_every")}
    if AUTO in wanted.values():
        return None
    mode = context["cache_mode"]
    deployment = Deployment(
        channels=("s3", "dynamodb", "memcached"),
        memory_sizes=context["worker_memory_sizes"],
        caches=[Cache(mode, context["cache_node_type"], context["cache_nodes"])],
        max_workers=context["max_workers"],
        worker_timeout_seconds=context["worker_timeout_seconds"],
    )
    usual = Open()
    options = Open(
        channels=_only(job.get("channel", AUTO), deployment.channels),
        patterns=_only(job.get("pattern", AUTO), usual.patterns),
        workers=(wanted["workers"],),
        memory_mb=(wanted["memory_mb"],),
        wires=(wanted["wire"],),
        sync_every=(wanted["sync_every"],),
    )
    return search(facts, deployment, options, profile=profile)


def _only(value: str, every: Sequence[str]) -> Sequence[str]:
    return every if value == AUTO else (value,)


def as_json(found: Found, why: str, profile: str, written: Found | None) -> dict[str, Any]:
    """For plan.json."""
    return {
        "as_written": _plan(written.recommended) if written and written.recommended else None,
        "prices_as_of": prices.as_of(),
        "profile": profile,
        "step": why,
        "advice": found.advice,
        "reasons": found.reasons,
        "recommended": _plan(found.recommended) if found.recommended else None,
        "front": [_plan(each) for each in found.front],
        "considered": len(found.considered),
        "refused": found.refused,
        "alternatives": [
            {"service": each.service, "instance": each.instance, "estimate": True}
            | {"seconds": each.seconds.as_dict(), "usd": each.usd.as_dict()}
            for each in found.alternatives
        ],
    }


def _plan(estimate: Estimate) -> dict[str, Any]:
    choice = estimate.choice
    return {
        "channel": choice.channel,
        "pattern": choice.pattern,
        "workers": choice.workers,
        "memory_mb": choice.memory_mb,
        "wire": choice.wire,
        "sync_every": choice.sync_every,
        "cache": vars(choice.cache) if choice.cache else None,
        "laps": estimate.laps,
        "steps": estimate.steps,
        "round_seconds": estimate.round_seconds,
        "step_seconds": estimate.step_seconds,
        "seconds": estimate.seconds.as_dict(),
        "usd": estimate.usd.as_dict(),
        "second_parts": {name: part.as_dict() for name, part in estimate.second_parts.items()},
        "usd_parts": {name: part.as_dict() for name, part in estimate.usd_parts.items()},
    }


def _positive(name: str, text: str) -> float | None:
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise LocalError(f"{name} = {text} is not allowed: it must be a positive number.")
    return number


def _measured(path: str) -> Measured | None:
    """What a calibration has left in a file."""
    if not path:
        return None
    try:
        return measurements.parse(Path(path).read_bytes(), path)
    except OSError as error:
        raise LocalError(f"PROFILE = {path} cannot be read: {error.strerror}.") from None
    except measurements.ProfileError as error:
        raise LocalError(str(error)) from None


def _checked(job: dict[str, Any]) -> dict[str, Any]:
    """The job, if its keys are allowed; model and data may lie on this machine."""
    elsewhere = {key: value for key, value in job.items() if key not in ("model", "data")}
    if isinstance(job.get("data"), Mapping):
        elsewhere["data"] = dict.fromkeys(job["data"], "s3://a-bucket/in-its-place.npz")
    try:
        parse_job(elsewhere, {})
    except JobError as error:
        raise LocalError(str(error)) from None
    return job


@click.command()
@click.option("--job", default="examples/mnist.json", envvar="PAYTRAIN_JOB", type=Path, help="A file with the job.")
@click.option("--set", "settings", default="", envvar="PAYTRAIN_SET", help="Job keys: 'epochs=1 batch_size=32'.")
@click.option(
    "--model", default="", envvar="PAYTRAIN_MODEL", help="A .keras file, or 'parameters=1e6 step_seconds=0.2'."
)
@click.option("--profile", default="", envvar="PAYTRAIN_PROFILE", help="Measured figures, as calibration stores them.")
@click.option("--budget", default="", envvar="PAYTRAIN_BUDGET", help="Dollars.")
@click.option("--deadline", default="", envvar="PAYTRAIN_DEADLINE", help="Minutes.")
def main(job: Path, settings: str, model: str, profile: str, budget: str, deadline: str) -> None:
    """Compare all ways to run a job, into out/plan."""
    budget_usd, deadline_minutes = _positive("BUDGET", budget), _positive("DEADLINE", deadline)
    wanted = _checked(override(read_job(job, "", "", None, ""), settings))
    facts, why = facts_of(wanted, model)
    deployment, options = question(wanted)
    measured = _measured(profile)
    known, whose = of(measurements.over_built_in(measured)), measurements.origin(measured)
    written = as_written(facts, wanted, known)
    found = search(
        facts,
        deployment,
        options,
        profile=known,
        budget_usd=budget_usd,
        deadline_minutes=deadline_minutes,
    )
    folder = ROOT / "out" / "plan"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.json").write_text(json.dumps(as_json(found, why, whose, written), indent=1))
    name = Path(model).stem if model.endswith(".keras") else job.stem
    (folder / "plan.html").write_text(plan_page.page(name, facts, f"{why}; services: {whose}", found))
    plan_table.show(console, facts, f"{why}\nservices: {whose}", found, written)
    console.print(f"\n[bold]{folder.relative_to(ROOT)}/[/]  plan.json  plan.html")


if __name__ == "__main__":
    main()
