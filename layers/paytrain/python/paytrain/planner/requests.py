"""What a round asks of a channel: requests, request units and bytes of all ranks, exactly as the channels make them.

Not counted: questions for what is not there yet, and reads that are made twice since they are slow.
"""

from collections import Counter
from collections.abc import Sequence

from paytrain.channels.chunks import chunk_count
from paytrain.channels.constants import (
    DYNAMODB_BATCH_BYTES,
    DYNAMODB_BATCH_ITEMS,
    DYNAMODB_ITEM_OVERHEAD_BYTES,
    DYNAMODB_READ_UNIT_BYTES,
    DYNAMODB_WRITE_UNIT_BYTES,
    MEMCACHED_ITEM_OVERHEAD_BYTES,
)
from paytrain.planner.traffic import Hop

_ITEM_NAMES_BYTES = len("key") + len("b") + len("expires_at") + 6
"""Of a DynamoDB item, beside its content and key: the attributes' names, and its expiry, ten digits in six bytes."""
_KEY_BYTES = len("00000000-0000-0000-0000-000000000000/0/0/1234/0/0/12/0/1")
"""Of an item's key, about: run, as Step Functions names an execution, lap, attempt, round, segment, hop, rank, part
and chunk."""


def of_hop(channel: str, hop: Hop, item_bytes: int) -> Counter[str]:
    """Of one hop, by the names of :class:`paytrain.channels.base.Usage`."""
    counts: Counter[str] = Counter()
    counts["bytes_up"], counts["bytes_down"] = hop.bytes_up, hop.bytes_down
    if channel in ("s3", "s3express"):
        counts[f"{channel}_put"] = hop.writers
        counts[f"{channel}_get"] = hop.read.total()
    elif channel == "dynamodb":
        for size, count in hop.written.items():
            counts["dynamodb_requests"] += count * items(size, item_bytes - DYNAMODB_ITEM_OVERHEAD_BYTES)
            counts["dynamodb_write_units"] += count * _units(size, item_bytes, DYNAMODB_WRITE_UNIT_BYTES)
        for size, count in hop.read.items():
            counts["dynamodb_requests"] += count * reads_of_part(size, item_bytes)
            counts["dynamodb_read_units"] += count * _units(size, item_bytes, DYNAMODB_READ_UNIT_BYTES)
    else:
        chunk = item_bytes - MEMCACHED_ITEM_OVERHEAD_BYTES
        for size, count in hop.written.items():
            counts["memcached_add"] += count * items(size, chunk)
        for size, count in hop.read.items():
            counts["memcached_get"] += count * (1 if items(size, chunk) == 1 else 2)
    return counts


def of_round(channel: str, segments: Sequence[list[Hop]], item_bytes: int) -> Counter[str]:
    """Of all hops of all segments."""
    counts: Counter[str] = Counter()
    times = Counter(map(id, segments))
    for hops in {id(each): each for each in segments}.values():
        for hop in hops:
            for name, amount in of_hop(channel, hop, item_bytes).items():
                counts[name] += times[id(hops)] * amount
    return counts


def items(part_bytes: int, chunk_bytes: int) -> int:
    """Items of a part."""
    return chunk_count(part_bytes, chunk_bytes)


def reads_of_part(part_bytes: int, item_bytes: int) -> int:
    """Requests to DynamoDB that read a part: its first item, and the others in batches."""
    batch = min(DYNAMODB_BATCH_ITEMS, max(1, DYNAMODB_BATCH_BYTES // item_bytes))
    return 1 + -(-(items(part_bytes, item_bytes - DYNAMODB_ITEM_OVERHEAD_BYTES) - 1) // batch)


def _units(part_bytes: int, item_bytes: int, unit_bytes: int) -> int:
    chunk = item_bytes - DYNAMODB_ITEM_OVERHEAD_BYTES
    whole = items(part_bytes, chunk) - 1
    around = _ITEM_NAMES_BYTES + _KEY_BYTES
    last = part_bytes - whole * chunk + around
    return whole * -(-(chunk + around) // unit_bytes) + max(1, -(-last // unit_bytes))
