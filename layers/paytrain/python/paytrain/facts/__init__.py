"""Figures about AWS that the library ships: limits, latencies, bandwidths, each with its date and its confidence."""

import functools
import json
from importlib import resources
from typing import Any


@functools.cache
def read(name: str) -> dict[str, Any]:
    """Read ``<name>.json``; the result is shared: do not change it."""
    text = resources.files("paytrain.facts").joinpath(f"{name}.json").read_text()
    facts: dict[str, Any] = json.loads(text)
    return facts
