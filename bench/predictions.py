"""What the planner predicts of whole runs in the laptop twin, after a calibration of the twin, and what they take.

The twin differs from AWS in what no profile has: functions start and load as fast as this machine lets them, all
workers share its processors, nothing limits its links, and S3 and DynamoDB are one process that shares the processors,
too. So the calibration is the product's own, for the channels' latencies; and right before a run some turns of short
runs over Memcached with as many workers, for the time of a step and of all that is not training, and of a gang of
processes that does rounds over S3 or DynamoDB (:mod:`bench.gang_rounds`). It takes turns since such a machine's speed
drifts.
"""

import json
import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench import gang_rounds
from bench.runs import read, run
from local.stack import Stack
from paytrain.control.predicted import facts_of
from paytrain.exchange.simulator.profile import Network, Profile, of
from paytrain.job import Job
from paytrain.plan import Prepared
from paytrain.planner import compute, profile
from paytrain.planner.estimate import Estimator
from paytrain.planner.exchange import Exchange
from paytrain.planner.question import Cache, Choice, Deployment, JobFacts
from paytrain.run import Keys
from paytrain.store import Artifacts

CHANNELS = ("memcached", "s3", "dynamodb")
WORKERS = (2, 4)
EPOCHS, EPOCHS_OF_CALIBRATION = 8, (1, 3)
TURNS = 3
PATTERN, MEMORY_MB = "scatter_reduce", 1769
_PHASES_OF_STEP = ("compute", "encode", "wait", "reduce", "apply")
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
    for channel in CHANNELS:
        job = JOB | {"workers": workers, "channel": channel, "epochs": EPOCHS}
        # Another channel may have other functions: the first run starts their sandboxes.
        run(stack, job | {"epochs": EPOCHS_OF_CALIBRATION[0]})
        turns = [_calibrate(stack, channel, workers, twin) for _ in range(TURNS)]
        # An estimate makes its own slowest of steps.
        step = statistics.median(turn.step_seconds for turn in turns) / compute.straggler(workers)
        rounds = statistics.median(turn.round_seconds for turn in turns)
        estimator = MeasuredRounds(replace(turns[0].facts, step_seconds=step), twin, rounds)
        around = statistics.median(turn.around for turn in turns)
        parts = {"around": around, **training(estimator, _choice(channel, workers))}
        receipt = read(stack, Keys(run(stack, job)).receipt)
        phases = {name: total / workers for name, total in receipt["phases_total"].items()}
        yield Prediction(channel, workers, sum(parts.values()), receipt["seconds"], parts, phases)


@dataclass(frozen=True)
class Turn:
    """What a calibration has found.

    Attributes
    ----------
    facts
        Of the whole job.
    step_seconds
        Until the slowest worker has ended its step.
    round_seconds
        That a round over the channel adds.
    around
        Seconds of a run beside its training: start, load, Prepare, Finish and the states between.
    """

    facts: JobFacts
    step_seconds: float
    round_seconds: float
    around: float


def _calibrate(stack: Stack, channel: str, workers: int, twin: Profile) -> Turn:
    job = JOB | {"workers": workers, "channel": "memcached", "epochs": EPOCHS}
    short, longer = (Keys(run(stack, job | {"epochs": each})) for each in EPOCHS_OF_CALIBRATION)
    prepared = Prepared.model_validate(read(stack, short.prepared))
    facts, choice = facts_of(Job.model_validate(job), prepared), _choice("memcached", workers)
    round_seconds, _ = Estimator(facts, Deployment(), twin).round(choice)
    receipt = read(stack, short.receipt)
    step = step_of(receipt, read(stack, longer.receipt)) - round_seconds
    as_short = replace(facts, epochs=EPOCHS_OF_CALIBRATION[0], step_seconds=step / compute.straggler(workers))
    around = receipt["seconds"] - sum(training(Estimator(as_short, Deployment(), twin), choice).values())
    if channel != "memcached":
        round_seconds = gang_rounds.measure(Exchange(channel, PATTERN, workers, facts.parameters), step)
    return Turn(facts, step, round_seconds, around)


def step_of(short: Mapping[str, Any], longer: Mapping[str, Any]) -> float:
    """Seconds of a step with its round, from the receipts of two runs: what both have once cancels out."""
    short_seconds, seconds = (
        sum(each["phases_total"][phase] for phase in _PHASES_OF_STEP) / each["workers"] for each in (short, longer)
    )
    return (seconds - short_seconds) / (longer["steps"] - short["steps"])


def training(estimator: Estimator, choice: Choice) -> dict[str, float]:
    """Expected seconds of the parts in which a run trains."""
    estimate = estimator.estimate(choice)
    if isinstance(estimate, str):
        raise ValueError(estimate)
    return {part: estimate.second_parts[part].expected for part in ("compute", "exchange", "save")}


def _choice(channel: str, workers: int) -> Choice:
    cache = Cache("provisioned", "cache.t4g.micro") if channel == "memcached" else None
    return Choice(channel, PATTERN, workers, MEMORY_MB, cache=cache)


class MeasuredRounds(Estimator):
    """Estimates with rounds as they were measured.

    Parameters
    ----------
    round_seconds
        Of one round.
    """

    def __init__(self, job: JobFacts, profile: Profile, round_seconds: float) -> None:
        super().__init__(job, Deployment(), profile)
        self._round_seconds = round_seconds

    def round(self, choice: Choice) -> tuple[float, float]:
        """As measured, at the dollars of its requests."""
        return self._round_seconds, super().round(choice)[1]
