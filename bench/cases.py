"""What is measured against what: the cases of the exchange's benchmark, and why some are left out."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from bench.baselines import algorithms
from bench.floor import floor_seconds
from paytrain import facts
from paytrain.exchange.simulator.profile import Profile, built_in
from paytrain.exchange.tuning import dynamodb_item_bytes
from paytrain.exchange.wires import WIRES

SIZES = {"4 KB": 4_000, "1 MB": 1_000_000, "12 MB": 12_000_000, "89 MB": 89_000_000}
WORKERS = (4, 16, 64, 256)
CHANNELS = ("s3", "s3express", "memcached", "dynamodb")
_IN_VPC = ("s3express", "memcached")
PATTERNS = ("all_gather", "scatter_reduce", "hierarchical")
ALGORITHMS = (*PATTERNS, *algorithms.ALGORITHMS)
NODE_TYPES = ("cache.t4g.medium", "cache.m7g.large", "cache.c7gn.xlarge")
"""Of the cheapest node worth its price to one that is never the limit of sixteen workers."""
NODE_TYPE = "cache.m7g.large"
"""Where only one is shown."""

LOSSY_WIRES = ("bfloat16", "int8", "topk")
_SIZE_OF_WIRES, _WORKERS_OF_WIRES = "12 MB", 16

_LIMITS = facts.read("limits")
FUNCTION_SECONDS = _LIMITS["lambda"]["timeout_s"]
MEMCACHED_ITEM_BYTES = 8 * 2**20
_SMALLEST_WORLD_WITH_GROUPS = 16
_MOST_READ_BYTES = 2e9


@dataclass(frozen=True)
class Case:
    """One bar of the benchmark.

    Attributes
    ----------
    algorithm
        One of our patterns, or a peer's.
    wire
        How numbers travel.
    bytes
        Of the vector as float32, whatever its wire.
    node_type
        Of the cache's only node; empty for other channels.
    """

    channel: str
    algorithm: str
    wire: str
    bytes: int
    workers: int
    node_type: str = ""

    @property
    def is_peer(self) -> bool:
        """Whether the algorithm is re-created from a peer."""
        return self.algorithm in algorithms.ALGORITHMS

    @property
    def elements(self) -> int:
        """Length of the vector."""
        return self.bytes // 4

    @property
    def wire_bytes(self) -> int:
        """Of the vector on its wire."""
        return WIRES[self.wire].payload_bytes(self.elements)

    @property
    def in_vpc(self) -> bool:
        """Whether the workers are in a VPC, whose bandwidth they share."""
        return self.channel in _IN_VPC

    @property
    def item_bytes(self) -> int:
        """The largest item of the channel, as plans have it; S3 has none."""
        if self.channel == "dynamodb":
            return dynamodb_item_bytes(self.wire_bytes)
        return MEMCACHED_ITEM_BYTES if self.channel == "memcached" else 0


def grid() -> list[Case]:
    """All simulated cases, those that will be left out included."""
    exact = [
        Case(channel, algorithm, "float32", size, workers, node_type)
        for channel, size, workers in product(CHANNELS, SIZES.values(), WORKERS)
        for node_type in (NODE_TYPES if channel == "memcached" else ("",))
        for algorithm in ALGORITHMS
    ]
    lossy = [
        Case(channel, pattern, wire, SIZES[_SIZE_OF_WIRES], _WORKERS_OF_WIRES, node_type)
        for channel, pattern, wire in product(CHANNELS, PATTERNS, LOSSY_WIRES)
        for node_type in (NODE_TYPES if channel == "memcached" else ("",))
    ]
    return exact + lossy


def floor_of(case: Case, profile: Profile | None = None, *, slowest: bool = False) -> float:
    """The least time of a round, seconds: of the case's own pattern; of a peer's, the least of all patterns.

    Parameters
    ----------
    profile
        The built-in one if not given.
    slowest
        Whether a hop takes what the slowest of its requests is expected to take, not the usual one.
    """
    patterns: Iterator[str] = iter(PATTERNS if case.is_peer else (case.algorithm,))
    return min(
        floor_seconds(
            case.channel,
            pattern,
            workers=case.workers,
            size_bytes=case.wire_bytes,
            profile=profile or built_in(),
            node_type=case.node_type,
            slowest=slowest,
        )
        for pattern in patterns
    )


def left_out(case: Case) -> str | None:
    """Why a case cannot work or is not worth its time; None for one that is run."""
    if case.is_peer:
        reason = algorithms.cannot_work(case.algorithm, case.channel, case.workers, case.bytes, case.node_type)
    else:
        reason = _no_use(case) or _too_much_for_the_cache(case)
    if case.workers == WORKERS[-1] and case.node_type not in ("", NODE_TYPE):
        reason = reason or "the largest world is simulated on one node type only, to save time"
    if reason is None and (least := floor_of(case)) > FUNCTION_SECONDS:
        reason = f"a round takes at least {least:,.0f} s; a function ends after {FUNCTION_SECONDS}"
    return reason


def _no_use(case: Case) -> str | None:
    if case.algorithm == "all_gather" and (case.workers - 1) * case.wire_bytes > _MOST_READ_BYTES:
        return f"every worker would read {(case.workers - 1) * case.wire_bytes / 1e9:,.1f} GB a round"
    if case.algorithm == "hierarchical" and case.workers < _SMALLEST_WORLD_WITH_GROUPS:
        return "groups of two save no request"
    return None


def _too_much_for_the_cache(case: Case) -> str | None:
    if case.channel != "memcached":
        return None
    cache = _LIMITS["elasticache_memcached"]
    megabytes = cache["max_cache_memory_mb"][case.node_type] - cache["connections_overhead_mb_default"]
    two_rounds = 2 * case.workers * case.wire_bytes
    if two_rounds > megabytes * 2**20:
        return f"two rounds are {two_rounds / 1e9:,.1f} GB; {case.node_type} holds {megabytes * 2**20 / 1e9:,.1f} GB"
    return None
