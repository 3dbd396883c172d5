"""What the planner predicts of whole runs in the laptop twin, after a calibration of the twin, and what they take.

The twin differs from AWS in three things that no profile has: all workers share this machine's processors, nothing
limits its links, and S3 and DynamoDB are one process that serves one request after the other. So the calibration is the
product's own, for the channels' latencies. What the emulator takes for a round's requests, when as many processes make
them at once (:mod:`bench.served`), is taken for all that it can serve. And for every number of workers there are a few
short runs over Memcached, for the time of a step and of a start when so many share the machine.
"""

import json
import math
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bench import served
from bench.runs import read, run
from bench.served import Served
from local.stack import Stack
from paytrain.control.predicted import facts_of
from paytrain.exchange.simulator.profile import Network, Profile, of
from paytrain.job import Job
from paytrain.plan import Prepared
from paytrain.planner import compute, profile, requests
from paytrain.planner.estimate import Estimate, Estimator
from paytrain.planner.exchange import Exchange
from paytrain.planner.question import Cache, Choice, Deployment, JobFacts
from paytrain.run import Keys
from paytrain.store import Artifacts

CHANNELS = ("memcached", "s3", "dynamodb")
WORKERS = (2, 4)
EPOCHS, EPOCHS_OF_CALIBRATION = 8, 2
RUNS_OF_CALIBRATION = 3
PATTERN, MEMORY_MB = "scatter_reduce", 1769
JOB = {
    "model": "example:mnist",
    "data": "example:mnist",
    "batch_size": 512,
    "memory_mb": MEMORY_MB,
    "pattern": PATTERN,
}


@dataclass(frozen=True)
class Prediction:
    """One run.

    Attributes
    ----------
    predicted, actual
        Seconds from start to end.
    parts
        Predicted seconds by part.
    phases
        Seconds per worker and phase, as the receipt has them.
    """

    channel: str
    workers: int
    predicted: float
    actual: float
    parts: dict[str, float]
    phases: dict[str, float]

    @property
    def error(self) -> float:
        """Of the prediction, as a share of what the run took."""
        return self.predicted / self.actual - 1


def measure(stack: Stack) -> list[Prediction]:
    """Calibrate, then run every channel with every number of workers."""
    artifacts = Artifacts(stack.artifacts_bucket)
    run(stack, {"calibrate": True})
    known = of(profile.over_built_in(profile.measured(artifacts)))
    stack.s3.delete_object(Bucket=stack.artifacts_bucket, Key=profile.KEY)
    twin = replace(
        known,
        network=Network(function=math.inf, function_burst_bytes=0.0, function_burst=math.inf, vpc=math.inf),
        node_base=dict.fromkeys(known.node_base, math.inf),
    )
    return [prediction for workers in WORKERS for prediction in _with(stack, workers, twin)]


def tables(predictions: list[Prediction]) -> str:
    """The results as Markdown."""
    lines = [
        "| channel | W | predicted, s | took, s | error |",
        "|---|---:|---:|---:|---:|",
        *(
            f"| {one.channel} | {one.workers} | {one.predicted:.1f} | {one.actual:.1f} | {one.error:+.0%} |"
            for one in predictions
        ),
    ]
    return "\n".join(lines) + "\n"


def write(predictions: list[Prediction], folder: Path) -> Path:
    """Write ``predictions.json`` and ``predictions.md``; returns the latter's path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "predictions.json").write_text(json.dumps([asdict(one) for one in predictions], indent=1))
    path = folder / "predictions.md"
    path.write_text(tables(predictions))
    return path


def _with(stack: Stack, workers: int, twin: Profile) -> Iterator[Prediction]:
    short = JOB | {"workers": workers, "channel": "memcached", "epochs": EPOCHS_OF_CALIBRATION}
    run(stack, short)  # The first starts sandboxes.
    runs = [Keys(run(stack, short)) for _ in range(RUNS_OF_CALIBRATION)]
    receipts, prepared = [read(stack, keys.receipt) for keys in runs], read(stack, runs[0].prepared)
    phases = [receipt["phases_total"] for receipt in receipts]
    steps = workers * receipts[0]["steps"]
    # Until the slowest has ended, with the little that Memcached takes here; an estimate makes its own slowest.
    slowest = statistics.median((each["compute"] + each["apply"] + each["wait"]) / steps for each in phases)
    step = slowest / compute.straggler(workers)
    here = replace(twin, worker_start=statistics.median(each["start"] / workers for each in phases))
    for channel in CHANNELS:
        job = JOB | {"workers": workers, "channel": channel, "epochs": EPOCHS}
        facts = replace(facts_of(Job.model_validate(job), Prepared.model_validate(prepared)), step_seconds=step)
        estimate = _estimate(facts, channel, workers, here)
        receipt = read(stack, Keys(run(stack, job)).receipt)
        yield Prediction(
            channel,
            workers,
            estimate.seconds.expected,
            receipt["seconds"],
            {name: part.expected for name, part in estimate.second_parts.items()},
            {name: total / workers for name, total in receipt["phases_total"].items()},
        )


def _estimate(facts: JobFacts, channel: str, workers: int, twin: Profile) -> Estimate:
    exchange = Exchange(channel, PATTERN, workers, facts.parameters)
    if channel == "memcached":
        estimator, cache = Estimator(facts, Deployment(), twin), Cache("provisioned", "cache.t4g.micro")
        estimate = estimator.estimate(Choice(channel, PATTERN, workers, MEMORY_MB, cache=cache))
    else:
        estimator = OneServer(facts, Deployment(), twin, exchange, served.measure(exchange))
        estimate = estimator.estimate(Choice(channel, PATTERN, workers, MEMORY_MB))
    assert isinstance(estimate, Estimate)
    return estimate


class OneServer(Estimator):
    """Estimates with one server in the place of S3 or DynamoDB, which serves reads while it serves no writes.

    Parameters
    ----------
    measured
        What the server takes for the requests of a round.
    """

    def __init__(
        self, job: JobFacts, deployment: Deployment, profile: Profile, exchange: Exchange, measured: Served
    ) -> None:
        super().__init__(job, deployment, with_one_server(profile, exchange, measured))
        self._busy = measured.puts + measured.gets

    def round(self, choice: Choice) -> tuple[float, float]:
        """At least as long as the server is busy."""
        seconds, usd = super().round(choice)
        return max(seconds, self._busy), usd


def with_one_server(twin: Profile, exchange: Exchange, measured: Served) -> Profile:
    """The profile with what the emulator can serve of an exchange's requests."""
    counts = requests.of_round(exchange.channel, exchange.segments, exchange.item_bytes)
    if exchange.channel == "s3":
        puts, gets = counts["s3_put"] / measured.puts, counts["s3_get"] / measured.gets
        return replace(twin, s3_partitions=1, s3_puts_per_second=puts, s3_gets_per_second=gets)
    return replace(
        twin,
        dynamodb_partitions=1,
        dynamodb_write_units=counts["dynamodb_write_units"] / measured.puts,
        dynamodb_read_units=counts["dynamodb_read_units"] / measured.gets,
    )
