"""How an exchange is cut and how much of it is under way at once: from the channel, the pattern and the sizes."""

import math
from dataclasses import dataclass

from paytrain import facts

_PROFILE, _LIMITS = facts.read("service_profile"), facts.read("limits")
_FUNCTION_BYTES_PER_SECOND = _PROFILE["lambda_network"]["baseline_mb_s"] * 1e6
_TABLE_BYTES_PER_SECOND = _LIMITS["dynamodb"]["new_on_demand_wru_s"] * _LIMITS["dynamodb"]["wcu_bytes"]
_SECONDS_PER_GET = {
    "s3": 1 / _LIMITS["s3"]["get_rps_per_prefix"],
    "s3express": _PROFILE["_meta"]["python_overhead_ms"]["value"] / 1e3,
}
"""What limits requests: of all workers at a prefix partition of S3; of one worker where latencies are short, itself."""

_REQUEST_SECONDS = {"s3": 0.06, "s3express": 0.01, "dynamodb": 0.01, "memcached": 0.002}
"""Until a usual read or write begins to move its bytes, the client's own work included."""

_MAX_SEGMENTS = 4
"""Enough to keep both directions busy: every segment costs its requests."""
_MAX_FREE_SEGMENTS, _FREE_SEGMENT_BYTES = 8, 1e6
"""Where requests cost the client's time only, a long vector is cut finer, into segments of not less than this."""
_MAX_GETS = 32
"""Threads that read: more only wait for the interpreter."""
_MAX_WINDOW_BYTES = 64e6
_PUTS_AT_ONCE = 2
"""A function's link is full with two; more would share it, and the first segment would arrive as late as the last."""


_SMALL_ITEMS_UP_TO_BYTES = 2**20
_SMALL_ITEM_BYTES = 16 * 1024
"""Vectors of up to a megabyte travel in small items, which spread over the table's partitions: a whole item is taken
from one partition's thousand write units a second (docs/exchange.md)."""
DYNAMODB_ITEM_BYTES = 390 * 1024
"""Payload of a large item: 400 KB less its key and attribute names."""


@dataclass(frozen=True)
class Tuning:
    """How an exchange is run.

    Attributes
    ----------
    segments
        Slices of the vector that are exchanged independently: while one is read, the next is written.
    window
        Gets of one hop and segment under way at once.
    puts_at_once, gets_at_once
        Calls of a worker under way at once.
    """

    segments: int
    window: int
    puts_at_once: int = _PUTS_AT_ONCE

    @property
    def gets_at_once(self) -> int:
        """As many as the windows of all segments allow."""
        return min(_MAX_GETS, max(4, self.segments * self.window))


def tune(channel: str, pattern: str, *, workers: int, vector_bytes: int) -> Tuning:
    """Choose segments and window.

    A segment should take as long to write as a request takes to begin, so that the pipeline pays; a window should
    hold what the link moves while a request begins, so that it is never idle. One worker exchanges nothing.
    """
    if workers == 1:
        return Tuning(segments=1, window=1)
    bandwidth = _FUNCTION_BYTES_PER_SECOND
    if channel == "dynamodb":
        bandwidth = min(bandwidth, _TABLE_BYTES_PER_SECOND / workers)
    latency = _REQUEST_SECONDS[channel]
    owners = {"all_gather": 1, "leader": 1, "hierarchical": math.isqrt(workers)}.get(pattern, workers)
    peers = max(1, (owners if pattern == "hierarchical" else workers) - 1)
    hops = {"all_gather": 1, "hierarchical": 4}.get(pattern, 2)

    most = _MAX_SEGMENTS
    if channel == "memcached":
        most = max(1, min(_MAX_FREE_SEGMENTS, int(vector_bytes / _FREE_SEGMENT_BYTES)))
    segments = min(most, max(1, int(vector_bytes / (bandwidth * latency))))
    if channel in _SECONDS_PER_GET:
        # Requests may take as long as all else, not longer; those of the client's processor a third of it.
        else_seconds = 2 * vector_bytes / bandwidth + 2 * hops * latency
        gets = hops * peers * (workers if channel == "s3" else 3)
        segments = min(segments, max(1, int(else_seconds / (gets * _SECONDS_PER_GET[channel]))))
    piece = max(1.0, vector_bytes / segments / owners)
    enough = math.ceil(2 * bandwidth * latency / piece)
    bounded = int(_MAX_WINDOW_BYTES / piece / segments)
    return Tuning(segments, window=max(2, min(peers, enough, bounded)))


def dynamodb_item_bytes(vector_bytes: int) -> int:
    """The largest item of an exchange on DynamoDB."""
    return _SMALL_ITEM_BYTES if vector_bytes <= _SMALL_ITEMS_UP_TO_BYTES else DYNAMODB_ITEM_BYTES
