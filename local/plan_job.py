"""What the planner has to know of a job: read from its file, its model and its data, or from the command line."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from examples.build import ensure
from local.terminal import LocalError
from local.twin import ROOT
from paytrain.planner.question import JobFacts

_NUMBERS = {each.name: each.type for each in fields(JobFacts)}
_WHOLE = (
    "parameters",
    "samples",
    "batch_size",
    "epochs",
    "step_memory_mb",
    "validation_samples",
    "data_bytes",
    "metrics",
)
_EXAMPLE = "example:mnist"
_DEFAULTS = {"epochs": 3, "batch_size": 64}


def facts_of(job: Mapping[str, Any], model: str) -> tuple[JobFacts, str]:
    """The facts, and a sentence on where the step's time is from.

    Parameters
    ----------
    job
        The execution input.
    model
        Path of a .keras file, or ``parameters=… step_seconds=…``; empty for the job's own.

    Raises
    ------
    LocalError
        Naming what is wrong, or missing.
    """
    given = _given(model) if "=" in model else {}
    source = model or str(job.get("model", _EXAMPLE))
    if model.endswith(".keras"):
        _path_of(model)
    if source.endswith(".keras") and job.get("data", _EXAMPLE) == _EXAMPLE:
        raise LocalError(f"{source} needs its own data: add SET='data.train=./train.npz'.")
    known: dict[str, Any] = {name: job.get(name, default) for name, default in _DEFAULTS.items()}
    known |= _of_data(job.get("data", _EXAMPLE), given)
    if "=" in model:
        why = "the step's time is the one given"
    else:
        path = _path_of(source)
        known |= _measured(path, int(known["batch_size"]))
        why = f"a step of {path.name} took {known['step_seconds'] * 1e3:.0f} ms on one processor of this machine"
    known |= given
    missing = [name for name in ("parameters", "step_seconds", "samples") if name not in known]
    if missing:
        raise LocalError(f"MODEL lacks {' and '.join(missing)}: it must be like 'parameters=1e6 step_seconds=0.2'.")
    return JobFacts(**known), why


def _given(text: str) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for pair in text.split():
        name, equals, value = pair.partition("=")
        if not equals or name not in _NUMBERS:
            raise LocalError(
                f"MODEL: {pair} is not allowed; it must be one of {', '.join(_NUMBERS)}, then = and a number."
            )
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not 0 <= number < float("inf") or (number == 0 and name in ("parameters", "samples", "step_seconds")):
            raise LocalError(f"MODEL: {pair} is not allowed; {name} must be a positive number.")
        given[name] = int(number) if name in _WHOLE else number
    return given


def _path_of(model: str) -> Path:
    if model.startswith("example:"):
        files = ensure().get(model.removeprefix("example:"))
        if files is None:
            raise LocalError(f"model = {model} is not allowed: the examples are {', '.join(ensure())}.")
        return files["model"]
    path = Path(model)
    if path.suffix != ".keras" or not path.is_file():
        raise LocalError(
            f"MODEL = {model} is not allowed: it must be a .keras file here, or 'parameters=… step_seconds=…'."
        )
    return path


def _of_data(data: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Rows and bytes of arrays that are on this machine."""
    paths = data if isinstance(data, Mapping) else ensure().get(str(data).removeprefix("example:"), {})
    found: dict[str, Any] = {"data_bytes": 0}
    for key, name in (("train", "samples"), ("validation", "validation_samples")):
        path = Path(str(paths.get(key, "")))
        if not path.is_file():
            if key == "train" and "samples" not in given:
                raise LocalError(
                    f"data = {json.dumps(data)} is not on this machine: a plan needs it here, or "
                    "MODEL='parameters=… step_seconds=… samples=…'."
                )
            continue
        found[name], size = _rows(path)
        found["data_bytes"] += size
    return found


def _rows(path: Path) -> tuple[int, int]:
    import numpy as np

    with np.load(path, allow_pickle=False) as arrays:
        every = [arrays[name] for name in arrays.files]
    return len(every[0]), sum(each.nbytes for each in every)


def _measured(path: Path, batch_size: int) -> dict[str, Any]:
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "local.plan_measure", str(path.resolve()), str(batch_size)]
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise LocalError(f"A step of {path} cannot be timed: {lines[-1] if lines else 'no output'}")
    measured: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return measured
