"""Limits of the services, from ``facts/limits.json``, compiled on the date given there."""

from paytrain import facts


def cache_node_mb(node_type: str) -> int:
    """What a node of a Memcached cluster holds, MB: its memory without that of its connections."""
    cluster = facts.read("limits")["elasticache_memcached"]
    return int(cluster["max_cache_memory_mb"][node_type] - cluster["connections_overhead_mb_default"])
