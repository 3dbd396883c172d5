"""What can go wrong, each error with its likely cause; messages are sentences for the person who has to act."""

import json
import re
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from paytrain import allowed

_SHOWN_CHARACTERS = 120
_REASON_CHARACTERS = 300
_COLOUR = re.compile("\x1b\\[[0-9;]*m")


class PaytrainError(Exception):
    """Base of every error this library raises on purpose."""


class JobError(PaytrainError):
    """The job, the model or the data cannot run as given.

    Likely cause: the execution input. Raised before workers start; retrying does not help.
    """


class TrainingDiverged(PaytrainError):
    """Loss or weights are no longer finite numbers; every further step would be as worthless.

    Likely cause: a learning rate that is too high. The same steps give the same bits, so retrying does not help.
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


class ChannelError(PaytrainError):
    """The service behind a channel refused a request, and asking again will not help.

    Likely cause: a missing permission, a value larger than the service accepts, or throttling without end.
    """


class CacheNotOpened(PaytrainError):
    """The Memcached cluster of a run has not become available, or too late for the run's deadline.

    Likely cause: ElastiCache has no room for the node type in this zone, an account's quota is used up, or the deadline
    counts on a cluster in less than the 5 to 10 minutes that one takes.
    """


class AttemptAborted(PaytrainError):
    """Another rank, or somebody outside, has ended this attempt; leave without a trace."""


class LapTooShort(PaytrainError):
    """A lap has no time for a single step.

    Likely cause: ``worker_timeout_seconds`` too small for the model's step, start-up and saving.
    """


def sentence(error: ValidationError, of: str, model: type[BaseModel]) -> str:
    """Say the first problem of a pydantic validation in one sentence, and name the other keys that are wrong.

    Parameters
    ----------
    error
        What pydantic raised.
    of
        What was being read, such as ``"job"``; named when a key is unknown or missing.
    model
        The model that was validated; its JSON schema says what is allowed.

    Returns
    -------
    str
        A sentence that names the key, the value given and what is allowed.
    """
    problem, *more = error.errors(include_url=False)
    others = {str(other["loc"][0]): None for other in more if other["loc"] and other["loc"][0] != problem["loc"][0]}
    also = f" (Wrong, too: {', '.join(others)}.)" if others else ""
    return _first(problem, of, model) + also


def on_one_line(error: Exception) -> str:
    """What a library says, for use in a sentence: no line breaks, no colours of a terminal, not too long."""
    return " ".join(_COLOUR.sub("", str(error)).split())[:_REASON_CHARACTERS]


def _first(problem: ErrorDetails, of: str, model: type[BaseModel]) -> str:
    schema = model.model_json_schema()
    path, here = allowed.find(schema, problem["loc"])
    if problem["type"] == "extra_forbidden":
        keys = ", ".join(sorted(allowed.keys_of(here, schema)))
        inside = f" in {'.'.join(path)}" if path else ""
        return f"{'.'.join([*path, str(problem['loc'][-1])])} is not a key of a {of}: allowed{inside} are {keys}."
    reason = problem["msg"].removeprefix("Value error, ")
    if problem["type"] != "value_error":
        reason = f"it must be {allowed.words(here, schema)}"
    key = ".".join(path) or of
    if problem["type"] == "missing":
        return f"{key} is missing from the {of}: {reason}."
    return f"{key} = {_shown(problem['input'])} is not allowed: {reason}."


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."
