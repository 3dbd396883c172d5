"""List prices, from ``facts/prices.json``: us-east-1, compiled on the date given there, each with its confidence."""

import functools
import json
from importlib import resources
from typing import Any


@functools.cache
def _facts() -> dict[str, Any]:
    text = resources.files("paytrain.planner").joinpath("facts/prices.json").read_text()
    facts: dict[str, Any] = json.loads(text)
    return facts


def as_of() -> str:
    """The date and region of the prices."""
    meta = _facts()["_meta"]
    return f"{meta['compiled']}, {meta['region']}"


def lambda_usd_per_gb_second(architecture: str) -> float:
    """First tier, ``x86_64`` or ``arm64``."""
    key = {"x86_64": "x86_gb_s_tiers", "arm64": "arm64_gb_s_tiers"}[architecture]
    return float(_facts()["lambda"][key][0]["usd"])


def lambda_usd_per_request() -> float:
    """One invocation."""
    return float(_facts()["lambda"]["per_request"])


def step_functions_usd_per_transition() -> float:
    """One state transition of a standard workflow."""
    return float(_facts()["step_functions"]["standard_per_transition"])


def s3_usd_per_put() -> float:
    """One PUT or LIST."""
    return float(_facts()["s3_standard"]["put_copy_post_list_per_request"])


def s3_usd_per_get() -> float:
    """One GET, found or not."""
    return float(_facts()["s3_standard"]["get_per_request"])


def dynamodb_usd_per_write_unit() -> float:
    """One on-demand write unit: 1 KB."""
    return float(_facts()["dynamodb"]["on_demand_wru"])


def dynamodb_usd_per_read_unit() -> float:
    """One on-demand read unit: 4 KB, strongly consistent."""
    return float(_facts()["dynamodb"]["on_demand_rru"])
