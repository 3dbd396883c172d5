"""List prices, from ``facts/prices.json``: us-east-1, compiled on the date given there, each with its confidence."""

import math

from paytrain import facts

LAMBDA_FREE_TMP_MB = 512
"""Of a function's /tmp, in every function's price (AWS Lambda pricing, "Lambda Ephemeral Storage Pricing")."""


def as_of() -> str:
    """The date and region of the prices."""
    meta = facts.read("prices")["_meta"]
    return f"{meta['compiled']}, {meta['region']}"


def lambda_usd_per_gb_second(architecture: str) -> float:
    """First tier, ``x86_64`` or ``arm64``."""
    key = {"x86_64": "x86_gb_s_tiers", "arm64": "arm64_gb_s_tiers"}[architecture]
    return float(facts.read("prices")["lambda"][key][0]["usd"])


def lambda_usd_per_tmp_gb_second() -> float:
    """Of /tmp, for what is above the 512 MB that cost nothing."""
    return float(facts.read("prices")["lambda"]["ephemeral_gb_s_above_512mb"])


def lambda_usd_per_request() -> float:
    """One invocation."""
    return float(facts.read("prices")["lambda"]["per_request"])


def step_functions_usd_per_transition() -> float:
    """One state transition of a standard workflow."""
    return float(facts.read("prices")["step_functions"]["standard_per_transition"])


def s3_usd_per_put() -> float:
    """One PUT or LIST."""
    return float(facts.read("prices")["s3_standard"]["put_copy_post_list_per_request"])


def s3_usd_per_get() -> float:
    """One GET or HEAD, found or not."""
    return float(facts.read("prices")["s3_standard"]["get_per_request"])


def s3express_usd_per_put() -> float:
    """One PUT to a directory bucket (S3 Express One Zone)."""
    return float(facts.read("prices")["s3_express"]["put_per_request"])


def s3express_usd_per_get() -> float:
    """One GET from a directory bucket, found or not."""
    return float(facts.read("prices")["s3_express"]["get_per_request"])


def s3express_usd_per_gb_up() -> float:
    """A GB written to a directory bucket."""
    return float(facts.read("prices")["s3_express"]["upload_gb"])


def s3express_usd_per_gb_down() -> float:
    """A GB read from a directory bucket."""
    return float(facts.read("prices")["s3_express"]["retrieval_gb"])


def s3_usd_per_gb_moved() -> float:
    """Between S3 and functions of its region."""
    return float(facts.read("prices")["s3_standard"]["in_region_transfer_to_lambda"])


def dynamodb_usd_per_write_unit() -> float:
    """One on-demand write unit: 1 KB."""
    return float(facts.read("prices")["dynamodb"]["on_demand_wru"])


def dynamodb_usd_per_read_unit() -> float:
    """One on-demand read unit: 4 KB, strongly consistent."""
    return float(facts.read("prices")["dynamodb"]["on_demand_rru"])


def billed_node_hours(nodes: int, seconds: float) -> int:
    """What a cluster is billed that exists for so long: a part of a node's hour counts as a whole one.

    From the time a node is launched until it is terminated (Amazon ElastiCache pricing, "On-Demand nodes").
    """
    return nodes * max(1, math.ceil(seconds / 3600))


def cache_usd_per_node_hour(node_type: str) -> float:
    """One Memcached node, such as ``cache.t4g.micro``."""
    return float(facts.read("prices")["elasticache_memcached"]["on_demand_hour"][node_type])
