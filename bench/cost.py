"""What a round costs, at list prices: from the requests that it made and the time that it took."""

from collections.abc import Mapping
from dataclasses import dataclass

from paytrain.planner import prices

MEMORY_MB = 1769
"""Of a worker: one vCPU, as the simulator has it."""

_REQUESTS = (
    "s3_put",
    "s3_get",
    "s3_get_missing",
    "s3_list",
    "s3_delete",
    "s3express_put",
    "s3express_get",
    "s3express_get_missing",
    "s3express_delete",
    "dynamodb_requests",
    "memcached_requests",
    "memcached_add",
    "memcached_get",
    "memcached_delete",
)


@dataclass(frozen=True)
class Cost:
    """Dollars of one round of all workers together.

    Attributes
    ----------
    requests
        S3's requests, S3 Express' requests and bytes, DynamoDB's units; Memcached's cost nothing.
    workers
        The functions while they exchange.
    cache
        The node's share of its hours.
    """

    requests: float
    workers: float
    cache: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.requests + self.workers + self.cache


def requests(usage: Mapping[str, float]) -> float:
    """How many requests were made, those in vain and those free of charge included."""
    return sum(usage.get(name, 0.0) for name in _REQUESTS)


def cost(usage: Mapping[str, float], *, workers: int, seconds: float, node_type: str = "") -> Cost:
    """Price one round.

    Parameters
    ----------
    usage
        Of all workers, by the names of :class:`paytrain.channels.base.Usage`.
    seconds
        How long it took.
    node_type
        Of the cache's only node; empty without one.
    """
    puts = usage.get("s3_put", 0.0) + usage.get("s3_list", 0.0)
    gets = usage.get("s3_get", 0.0) + usage.get("s3_get_missing", 0.0)
    return Cost(
        requests=puts * prices.s3_usd_per_put()
        + gets * prices.s3_usd_per_get()
        + _s3express(usage)
        + usage.get("dynamodb_write_units", 0.0) * prices.dynamodb_usd_per_write_unit()
        + usage.get("dynamodb_read_units", 0.0) * prices.dynamodb_usd_per_read_unit(),
        workers=workers * seconds * MEMORY_MB / 1024 * prices.lambda_usd_per_gb_second("x86_64"),
        cache=seconds / 3600 * prices.cache_usd_per_node_hour(node_type) if node_type else 0.0,
    )


def _s3express(usage: Mapping[str, float]) -> float:
    puts = usage.get("s3express_put", 0.0)
    gets = usage.get("s3express_get", 0.0) + usage.get("s3express_get_missing", 0.0)
    if not puts + gets:
        return 0.0
    return (
        puts * prices.s3express_usd_per_put()
        + gets * prices.s3express_usd_per_get()
        + usage["bytes_up"] / 1e9 * prices.s3express_usd_per_gb_up()
        + usage["bytes_down"] / 1e9 * prices.s3express_usd_per_gb_down()
    )
