"""Settings written as ``key=value key=value``, the way make's variables carry them."""

import json
import re
from collections.abc import Mapping
from typing import Any

from local.terminal import LocalError

_NEXT_PAIR = re.compile(r"\s+(?=[\w.@/:-]+=)")


def split_pairs(text: str) -> list[tuple[str, str]]:
    """Split text into keys and values; a value may hold spaces and quotes, such as JSON or a path.

    Raises
    ------
    LocalError
        When a part is not ``key=value``.

    Examples
    --------
    >>> split_pairs('epochs=1 early_stopping={"patience": 2}')
    [('epochs', '1'), ('early_stopping', '{"patience": 2}')]
    """
    pairs = []
    for part in _NEXT_PAIR.split(text.strip()) if text.strip() else []:
        key, equals, value = part.partition("=")
        if not equals or not key or re.search(r"\s", key):
            raise LocalError(f"{part} is not a setting: write key=value, separated by spaces.")
        pairs.append((key, value))
    return pairs


def override(job: Mapping[str, Any], settings: str) -> dict[str, Any]:
    """Return the job with settings replaced; dots lead into objects.

    Parameters
    ----------
    job
        Is left as it is.
    settings
        ``key=value`` pairs. Values are JSON where they can be read as such, else strings.

    Raises
    ------
    LocalError
        When a part is not ``key=value``.

    Examples
    --------
    >>> override({"epochs": 3}, "epochs=1 channel=s3 early_stopping.patience=2")
    {'epochs': 1, 'channel': 's3', 'early_stopping': {'patience': 2}}
    """
    changed = dict(job)
    for key, value in split_pairs(settings):
        *outer, name = key.split(".")
        target = changed
        for part in outer:
            inner = target.get(part)
            # A copy: the job given must not change; and what is no object, such as a URI, gives way to one.
            target[part] = dict(inner) if isinstance(inner, Mapping) else {}
            target = target[part]
        target[name] = _value(value)
    return changed


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
