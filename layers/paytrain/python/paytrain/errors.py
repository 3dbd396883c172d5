"""What can go wrong, each error with its likely cause; messages are sentences for the person who has to act."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError


class PaytrainError(Exception):
    """Base of every error this library raises on purpose."""


class JobError(PaytrainError):
    """The job, the model or the data cannot run as given.

    Likely cause: the execution input. Raised before workers start; retrying does not help.
    """


class FrameError(PaytrainError):
    """Bytes read from a channel are not the frame that was expected.

    Likely cause: corruption, or another program writing to the exchange store.
    """


class PeerLost(PaytrainError):
    """An object of a peer did not arrive in time.

    Likely cause: its worker died, was throttled at the start, or ran out of memory.
    """


class ObjectLost(PaytrainError):
    """A channel has forgotten an object that it had stored.

    Likely cause: a cache that evicted or restarted; handled like a lost worker.
    """


class AttemptAborted(PaytrainError):
    """Another rank, or somebody outside, has ended this attempt; leave without a trace."""


class LapTooShort(PaytrainError):
    """A lap has no time for a single step.

    Likely cause: ``worker_timeout_seconds`` too small for the model's step, start-up and saving.
    """


_REASONS = {
    "missing": "it is required",
    "int_type": "it must be a whole number",
    "int_from_float": "it must be a whole number",
    "float_type": "it must be a number",
    "bool_type": "it must be true or false",
    "string_type": "it must be a string",
    "finite_number": "it must be a finite number",
}


def sentence(error: ValidationError, of: str, model: type[BaseModel]) -> str:
    """Say the first problem of a pydantic validation in one sentence.

    Parameters
    ----------
    error
        What pydantic raised.
    of
        What was being read, such as ``"job"``; named when a key is unknown.
    model
        The model that was validated; its fields are what is allowed.

    Returns
    -------
    str
        A sentence that names the key, the value given and what is allowed.
    """
    problem = error.errors(include_url=False)[0]
    path = [str(part) for part in problem["loc"] if not str(part).startswith(("function-", "model-"))]
    key = ".".join(path) or of
    if problem["type"] == "extra_forbidden":
        fields = _fields_at(model, path[:-1])
        return f"{key} is not a key of a {of}: allowed are {', '.join(sorted(fields))}."
    if problem["type"] == "missing":
        return f"{key} is missing from the {of}: it is required."
    given = _shown(problem["input"])
    reason = _REASONS.get(problem["type"]) or problem["msg"].removeprefix("Value error, ").removeprefix(
        "Input should be "
    )
    if not reason.startswith("it "):
        reason = f"it must be {reason}"
    return f"{key} = {given} is not allowed: {reason}."


def _shown(value: Any) -> str:
    text = f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 120 else text[:117] + "..."


def _fields_at(model: type[BaseModel], path: list[str]) -> Mapping[str, Any]:
    """Fields of the model nested at ``path``; the model's own when the path does not name one."""
    for name in path:
        field = model.model_fields.get(name)
        candidates = [field.annotation, *getattr(field.annotation, "__args__", ())] if field else []
        nested = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if nested:
            model = nested[0]
    return model.model_fields
