"""What the requests of a round cost, those in vain and those made twice included."""

from collections import Counter

from paytrain.exchange.reads import HEDGED_BYTES
from paytrain.planner import prices, requests
from paytrain.planner.exchange import Exchange

_MADE_TWICE = 0.12
"""Share of small reads on S3 that are made once more: those slower than 95 in 100, and those that were asked in vain
before. Fitted to the simulator."""
_MADE_TWICE_UP_TO = 16
"""Reads of one rank; of more the later ones find their objects. Fitted."""


def usage(exchange: Exchange, in_vain: float) -> Counter[str]:
    """Expected counts of one round, all workers together, by the names of :class:`paytrain.channels.base.Usage`."""
    counts: Counter[str] = Counter(requests.of_round(exchange.channel, exchange.segments, exchange.item_bytes))
    if exchange.channel in ("s3", "s3express"):
        twice = sum(
            count * min(1.0, _MADE_TWICE_UP_TO / hop.gets)
            for hops in exchange.segments
            for hop in hops
            for size, count in hop.read.items()
            if size <= HEDGED_BYTES
        )
        counts[f"{exchange.channel}_get"] += round(_MADE_TWICE * twice)
        counts[f"{exchange.channel}_get_missing"] += round(in_vain)
    elif exchange.channel == "dynamodb":
        counts["dynamodb_requests"] += round(in_vain)
        counts["dynamodb_read_units"] += round(in_vain)
    return counts


def usd(counts: Counter[str]) -> float:
    """At list prices; Memcached's requests cost nothing."""
    return (
        counts["s3_put"] * prices.s3_usd_per_put()
        + (counts["s3_get"] + counts["s3_get_missing"]) * prices.s3_usd_per_get()
        + counts["s3express_put"] * prices.s3express_usd_per_put()
        + (counts["s3express_get"] + counts["s3express_get_missing"]) * prices.s3express_usd_per_get()
        + (counts["bytes_up"] / 1e9 * prices.s3express_usd_per_gb_up() if counts["s3express_put"] else 0.0)
        + (counts["bytes_down"] / 1e9 * prices.s3express_usd_per_gb_down() if counts["s3express_put"] else 0.0)
        + counts["dynamodb_write_units"] * prices.dynamodb_usd_per_write_unit()
        + counts["dynamodb_read_units"] * prices.dynamodb_usd_per_read_unit()
    )
