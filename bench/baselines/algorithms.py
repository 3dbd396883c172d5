"""The baselines by name, and where each cannot work."""

from bench.baselines import funcpipe, lambdaml, naive_chunked
from bench.baselines.arithmetic import LINEAR_BYTES, serialised_bytes
from bench.baselines.operations import Algorithm
from paytrain import facts
from paytrain.channels.constants import DYNAMODB_READ_UNIT_BYTES, DYNAMODB_WRITE_UNIT_BYTES

ALGORITHMS: dict[str, Algorithm] = {
    "lambdaml_allreduce": lambdaml.all_reduce,
    "lambdaml_scatter_reduce": lambdaml.scatter_reduce,
    "naive_chunked": naive_chunked.all_reduce,
    "funcpipe": funcpipe.scatter_reduce,
}
CHANNELS = ("s3", "dynamodb", "memcached")

_CHANNELS_OF = {
    "naive_chunked": ("dynamodb", "is for items too small for the vector; here LambdaML's work, their items hold it"),
    "funcpipe": ("s3", "needs LIST by prefix, which only S3 has"),
}


def cannot_work(algorithm: str, channel: str, workers: int, size_bytes: int, node_type: str) -> str | None:
    """Why a case is left out, or None if it works.

    What only takes too long is known before where a service's limit alone says so: a simulated round may still turn out
    to take longer than a function may run.

    Parameters
    ----------
    size_bytes
        Of the vector.
    node_type
        Of the cache's only node; of one whose memory the facts do not know, nothing is said.
    """
    if channel not in CHANNELS:
        return f"nobody has published {algorithm} on it"
    only, reason = _CHANNELS_OF.get(algorithm, (channel, ""))
    if channel != only:
        return f"{algorithm} {reason}"
    if channel == "dynamodb":
        return _too_much_for_dynamodb(algorithm, workers, size_bytes)
    if channel == "memcached":
        return _too_much_for_memcached(workers, size_bytes, node_type)
    return None


def _too_much_for_dynamodb(algorithm: str, workers: int, size_bytes: int) -> str | None:
    dynamodb, timeout = facts.read("limits")["dynamodb"], facts.read("limits")["lambda"]["timeout_s"]
    everybodys_bytes = workers * size_bytes
    writes_seconds = everybodys_bytes / (dynamodb["new_on_demand_wru_s"] * DYNAMODB_WRITE_UNIT_BYTES)
    if writes_seconds > timeout:
        return f"writes of {writes_seconds:,.0f} s in one round; a function ends after {timeout}"
    if algorithm == "naive_chunked":
        return None
    elements = size_bytes // 4
    scatters = algorithm == "lambdaml_scatter_reduce"
    longest = -(-elements // workers) if scatters else elements
    item = serialised_bytes(longest, size_bytes <= LINEAR_BYTES)
    if item > dynamodb["item_bytes"]:
        return f"an item of {item:,} bytes; DynamoDB takes {dynamodb['item_bytes']:,}"
    # Whoever scans reads what everybody has sent; a unit pays for two eventually consistent reads.
    read_bytes_per_second = dynamodb["new_on_demand_rru_s"] * 2 * DYNAMODB_READ_UNIT_BYTES
    scans_seconds = (workers if scatters else 1) * everybodys_bytes / read_bytes_per_second
    if scans_seconds > timeout:
        return f"scans of {scans_seconds:,.0f} s in one round; a function ends after {timeout}"
    return None


def _too_much_for_memcached(workers: int, size_bytes: int, node_type: str) -> str | None:
    limits = facts.read("limits")["elasticache_memcached"]
    megabytes = limits["max_cache_memory_mb"].get(node_type)
    if megabytes is None:
        return None
    memory = (megabytes - limits["connections_overhead_mb_default"]) * 2**20
    if workers * size_bytes > memory:
        return f"{workers * size_bytes:,} bytes at once; {node_type} holds {memory:,}"
    return None
