"""What one hop of one segment asks of the resources that ranks and services have."""

import math
from dataclasses import dataclass

from paytrain.channels.constants import DYNAMODB_ITEM_OVERHEAD_BYTES
from paytrain.exchange.reads import HEDGED_BYTES
from paytrain.exchange.simulator.profile import Profile
from paytrain.planner import requests
from paytrain.planner.exchange import Exchange
from paytrain.planner.traffic import Hop

HTTP_BYTES = 600
"""Headers of a request or an answer, about."""
_BASE64 = 4 / 3
"""JSON carries bytes in base64."""
_LARGEST_OF_FOUR = 1.03
"""Expected largest of four standard normal draws: how far the busiest of a table's partitions is above the mean."""
_LAST_ITEM = 0.5
"""Of an item's units: what the last item of a partition need not wait for, its own, less what an earlier round left."""


@dataclass(frozen=True)
class Load:
    """Seconds, but for counts.

    Attributes
    ----------
    put_requests, get_requests
        Of one rank.
    gets
        Frames that a rank reads.
    up, down
        The link of the rank that moves most.
    shared_up, shared_down
        Links and limits that all ranks share, until they have served all.
    put_stream, get_stream
        The largest object and frame on a connection of their own.
    frame_down
        A frame on the rank's link.
    is_hedged
        Whether slow reads are made again.
    is_asked_early
        Whether readers ask from the beginning of the round.
    ranks
        How many read.
    writers, readers
        How many depend on each other.
    """

    put_requests: int
    get_requests: int
    gets: int
    up: float
    down: float
    shared_up: float
    shared_down: float
    put_stream: float
    get_stream: float
    frame_down: float
    is_hedged: bool
    is_asked_early: bool
    ranks: int
    writers: float
    readers: float


def of_hop(exchange: Exchange, hop: Hop, profile: Profile) -> Load:
    """The load of a hop under a profile."""
    service, link = profile.services[exchange.channel], profile.network.function
    grow = _BASE64 if exchange.channel == "dynamodb" else 1.0
    head = 0 if exchange.channel == "memcached" else HTTP_BYTES
    counts = requests.of_hop(exchange.channel, hop, exchange.item_bytes)
    put_requests, get_requests = _requests_of_rank(exchange, hop, counts)
    shared_up, shared_down = _shared(exchange, hop, counts, profile)
    object_bytes, frame = hop.bytes_up / hop.writers, hop.bytes_down / hop.read.total()
    return Load(
        put_requests=put_requests,
        get_requests=get_requests,
        gets=hop.gets,
        up=(object_bytes * grow + head * put_requests) / link,
        down=(frame * grow + head) * hop.gets / link,
        shared_up=shared_up,
        shared_down=shared_down,
        put_stream=object_bytes / service.put_stream,
        get_stream=frame / service.get_stream,
        frame_down=frame * grow / link,
        is_hedged=exchange.channel in ("s3", "s3express") and frame <= HEDGED_BYTES,
        is_asked_early=exchange.pattern == "leader",
        ranks=hop.readers,
        writers=_coupled(exchange, hop, hop.writers),
        readers=_coupled(exchange, hop, hop.readers),
    )


def _requests_of_rank(exchange: Exchange, hop: Hop, counts: dict[str, int]) -> tuple[int, int]:
    if exchange.channel == "memcached":
        gets = hop.gets * counts["memcached_get"] / hop.read.total()
        return math.ceil(counts["memcached_add"] / hop.writers), math.ceil(gets)
    if exchange.channel == "dynamodb":
        frame = max(hop.read)
        puts = math.ceil(hop.written.total() / hop.writers) * _items(exchange, frame)
        return puts, hop.gets * requests.reads_of_part(frame, exchange.item_bytes)
    return 1, hop.gets


def _shared(exchange: Exchange, hop: Hop, counts: dict[str, int], profile: Profile) -> tuple[float, float]:
    if exchange.channel == "s3":
        puts = hop.writers / profile.s3_puts_per_second
        return puts / profile.s3_partitions, hop.read.total() / profile.s3_gets_per_second / profile.s3_partitions
    if exchange.channel == "memcached":
        nodes = exchange.nodes * profile.node_base[exchange.node_type]
        shared = min(profile.network.vpc, nodes)
        return hop.bytes_up / shared, hop.bytes_down / shared
    if exchange.channel == "dynamodb":
        written, read = (
            sum(n * _items(exchange, size) for size, n in some.items()) for some in (hop.written, hop.read)
        )
        writes = counts["dynamodb_write_units"] / profile.dynamodb_write_units
        reads = counts["dynamodb_read_units"] / profile.dynamodb_read_units
        partitions, segments = profile.dynamodb_partitions, exchange.tuning.segments
        if hop.read.total() == hop.written.total():
            return writes * _busiest(written, segments, partitions), reads * _busiest(read, segments, partitions)
        # All read the same items in about the same order: the partitions of these serve, the others wait.
        keys = 1 if hop.writers == 1 else 2 * exchange.tuning.window
        serving = partitions * (1 - (1 - 1 / partitions) ** keys)
        return writes * _busiest(written, segments, partitions), reads / serving
    return 0.0, 0.0


def _busiest(items: int, segments: int, partitions: int) -> float:
    """Share of all items that the busiest partition has to serve before the last one is served."""
    mine = items / partitions + _LARGEST_OF_FOUR * math.sqrt(items / segments / partitions)
    return max(0.0, min(mine, items) - _LAST_ITEM) / items


def _items(exchange: Exchange, frame: int) -> int:
    return requests.items(frame, exchange.item_bytes - DYNAMODB_ITEM_OVERHEAD_BYTES)


def _coupled(exchange: Exchange, hop: Hop, ranks: int) -> float:
    """A hop within groups waits for its group, which has waited for other groups before: the geometric mean."""
    return math.sqrt((hop.gets + 1) * ranks) if exchange.pattern == "hierarchical" else ranks
