"""Samples per second: four workers in the laptop twin over Memcached, against plain Keras on the same cores.

Runs alternate, since these machines' speed drifts; what counts is the median of the pairs' ratios.
"""

import json
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.runs import read, run
from local.stack import Stack
from paytrain.run import Keys

REPETITIONS = 7
WORKERS, BATCH_SIZE = 4, 64
JOB = {
    "model": "example:mnist",
    "data": "example:mnist",
    "epochs": 1,
    "batch_size": BATCH_SIZE,
    "workers": WORKERS,
    "memory_mb": 1769,
    "channel": "memcached",
}
PHASES = ("compute", "encode", "wait", "reduce", "apply")


@dataclass(frozen=True)
class Pair:
    """One measurement of each.

    Attributes
    ----------
    plain, workers
        Samples per second in steady state.
    round_ms
        Of the workers: milliseconds per round and phase, mean over the ranks.
    other_seconds
        Of the run: seconds outside the rounds, by what they were spent on.
    """

    plain: float
    workers: float
    round_ms: dict[str, float]
    other_seconds: dict[str, float]

    @property
    def ratio(self) -> float:
        """Workers' speed over plain Keras'."""
        return self.workers / self.plain


def measure(stack: Stack, repetitions: int = REPETITIONS) -> list[Pair]:
    """Measure in turn: plain, workers, plain, …; a first run of the workers only warms the sandboxes."""
    run(stack, JOB)
    return [_pair(stack) for _ in range(repetitions)]


def tables(pairs: list[Pair]) -> str:
    """The results as Markdown."""
    median = statistics.median
    lines = [
        f"Global batch {WORKERS * BATCH_SIZE}, medians of {len(pairs)} interleaved runs of one epoch, steady state.",
        "",
        "| | samples per second |",
        "|---|---:|",
        f"| plain Keras `fit`, one process | {median(p.plain for p in pairs):,.0f} |",
        f"| {WORKERS} workers in the twin, Memcached | {median(p.workers for p in pairs):,.0f} |",
        f"| ratio, median (smallest to largest) | {median(p.ratio for p in pairs):.2f} "
        f"({min(p.ratio for p in pairs):.2f} to {max(p.ratio for p in pairs):.2f}) |",
        "",
        "| a round of a worker | ms |",
        "|---|---:|",
        *(f"| {phase} | {median(p.round_ms[phase] for p in pairs):.1f} |" for phase in PHASES),
        "",
        "| of a run, outside its rounds | s |",
        "|---|---:|",
        *(f"| {name} | {median(p.other_seconds[name] for p in pairs):.2f} |" for name in pairs[0].other_seconds),
    ]
    return "\n".join(lines) + "\n"


def write(pairs: list[Pair], folder: Path) -> Path:
    """Write ``throughput.json`` and ``throughput.md``; returns the latter's path."""
    folder.mkdir(parents=True, exist_ok=True)
    records = [asdict(pair) | {"ratio": pair.ratio} for pair in pairs]
    (folder / "throughput.json").write_text(json.dumps(records, indent=1))
    path = folder / "throughput.md"
    path.write_text(tables(pairs))
    return path


def _pair(stack: Stack) -> Pair:
    command = [sys.executable, "-m", "bench.plain_fit", str(WORKERS * BATCH_SIZE)]
    plain = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
    receipt = read(stack, Keys(run(stack, JOB)).receipt)
    seconds, rounds = receipt["phases_total"], receipt["steps"] * WORKERS
    other = {name: seconds[name] / WORKERS for name in ("start", "load", "evaluate", "checkpoint", "other")}
    other["states, prepare and finish"] = receipt["seconds"] - sum(seconds.values()) / WORKERS
    return Pair(
        plain=plain,
        workers=receipt["samples_per_second"],
        round_ms={phase: 1e3 * seconds[phase] / rounds for phase in PHASES},
        other_seconds=other,
    )
