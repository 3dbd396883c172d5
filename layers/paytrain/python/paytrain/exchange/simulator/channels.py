"""The channels under virtual time: which requests a put or a get of a part makes, as the real channels make them."""

from functools import partial
from itertools import accumulate
from typing import Any, Protocol

from paytrain.channels.base import Content, Part
from paytrain.channels.chunks import chunk_keys
from paytrain.channels.constants import (
    DYNAMODB_BATCH_BYTES,
    DYNAMODB_BATCH_ITEMS,
    DYNAMODB_ITEM_OVERHEAD_BYTES,
    MEMCACHED_ITEM_OVERHEAD_BYTES,
    POLL_SECONDS,
)
from paytrain.channels.dynamodb import CONCURRENT_REQUESTS, item_size
from paytrain.exchange.operations import Get, Put
from paytrain.exchange.simulator.services import S3, DynamoDB, Memcached
from paytrain.exchange.simulator.world import Done, Process, World, spread


class SimulatedChannel(Protocol):
    """A channel whose operations end later, in virtual time."""

    poll_seconds: float
    hedges: bool

    def put(self, rank: int, put: Put, done: Done) -> None:
        """Store an object."""

    def get(self, rank: int, get: Get, done: Done) -> None:
        """Read a part; ends with None when it is not there."""

    def delete(self, rank: int, put: Put) -> None:
        """Forget an object."""


class SimulatedS3:
    """One object per key, a part by its byte range."""

    poll_seconds = POLL_SECONDS["s3"]
    hedges = True

    def __init__(self, world: World, *, directory: bool = False) -> None:
        self._s3 = S3(world, directory=directory)

    def put(self, rank: int, put: Put, done: Done) -> None:
        """One request."""
        self._s3.put(rank, put.key, put.parts, sum(map(length_of, put.parts)), done)

    def get(self, rank: int, get: Get, done: Done) -> None:
        """One request, found or not."""
        part = get.part
        self._s3.get(
            rank, get.key, part.length_bytes, lambda parts: done(None if parts is None else whole(parts[part.index]))
        )

    def delete(self, rank: int, put: Put) -> None:
        """One request, free of charge."""
        self._s3.delete(rank, [put.key], _nothing)


class SimulatedDynamoDB:
    """A part is one or more items."""

    poll_seconds = POLL_SECONDS["dynamodb"]
    hedges = False

    def __init__(self, world: World, *, item_bytes: int) -> None:
        self._world = world
        self._table = DynamoDB(world)
        self._chunk_bytes = item_bytes - DYNAMODB_ITEM_OVERHEAD_BYTES
        self._batch_items = min(DYNAMODB_BATCH_ITEMS, DYNAMODB_BATCH_BYTES // item_bytes)

    def put(self, rank: int, put: Put, done: Done) -> None:
        """A request per item, several at a time; a part's first item last."""
        self._world.run(self._put(rank, put), done)

    def get(self, rank: int, get: Get, done: Done) -> None:
        """The first item alone, then the others in batches."""
        self._world.run(self._get(rank, get), done)

    def delete(self, rank: int, put: Put) -> None:
        """Nothing: items expire."""

    def _put(self, rank: int, put: Put) -> Process:
        heads, rest = [], []
        for part, content in zip(_parts(put), put.parts, strict=True):
            head, *others = zip(
                chunk_keys(put.key, part, self._chunk_bytes), _sizes(length_of(content), self._chunk_bytes), strict=True
            )
            heads.append((head[0], Sized(item_size(*head), content)))
            rest += [(key, Sized(item_size(key, size))) for key, size in others]
        for items in (rest, heads):
            starts = [partial(self._table.put, rank, key, item, len(item)) for key, item in items]
            yield self._world.together(starts, CONCURRENT_REQUESTS)

    def _get(self, rank: int, get: Get) -> Process:
        head_key, *other_keys = chunk_keys(get.key, get.part, self._chunk_bytes)
        found = yield partial(self._table.get, rank, [head_key])
        if not found:
            return None
        starts = [
            partial(self._table.get, rank, other_keys[at : at + self._batch_items])
            for at in range(0, len(other_keys), self._batch_items)
        ]
        yield self._world.together(starts, CONCURRENT_REQUESTS)
        return whole(found[head_key].part)


class SimulatedMemcached:
    """A part is one or more items on one node."""

    poll_seconds = POLL_SECONDS["memcached"]
    hedges = False

    def __init__(self, world: World, *, item_bytes: int, node_type: str, nodes: int = 1) -> None:
        self._world = world
        self._cluster = Memcached(world, node_type=node_type, nodes=nodes)
        self._chunk_bytes = item_bytes - MEMCACHED_ITEM_OVERHEAD_BYTES

    def put(self, rank: int, put: Put, done: Done) -> None:
        """A request per item, one after another; a part's first item last."""
        self._world.run(self._put(rank, put), done)

    def get(self, rank: int, get: Get, done: Done) -> None:
        """The first item, then the others with one request."""
        self._world.run(self._get(rank, get), done)

    def delete(self, rank: int, put: Put) -> None:
        """One request per part, whose answer nobody waits for."""
        for part in _parts(put):
            self._cluster.delete(rank, chunk_keys(put.key, part, self._chunk_bytes), _nothing)

    def _put(self, rank: int, put: Put) -> Process:
        for part, content in zip(_parts(put), put.parts, strict=True):
            keys, sizes = chunk_keys(put.key, part, self._chunk_bytes), _sizes(length_of(content), self._chunk_bytes)
            node = self._node_of(put.key, part)
            for index in reversed(range(len(keys))):
                item = Sized(sizes[index], None if index else content)
                yield partial(self._cluster.add, rank, node, keys[index], item, sizes[index])

    def _get(self, rank: int, get: Get) -> Process:
        head_key, *other_keys = chunk_keys(get.key, get.part, self._chunk_bytes)
        node = self._node_of(get.key, get.part)
        found = yield partial(self._cluster.get, rank, node, [head_key])
        if not found:
            return None
        if other_keys:
            yield partial(self._cluster.get, rank, node, other_keys)
        return whole(found[head_key].part)

    def _node_of(self, key: str, part: Part) -> int:
        return spread(f"{key}/{part.index}", self._cluster.nodes)


class Sized:
    """Bytes of which only the number counts.

    Parameters
    ----------
    size
        How many there are.
    part
        What they are the beginning of: a part's first item carries all of it, since nobody looks into the others.
    """

    __slots__ = ("part", "size")

    def __init__(self, size: int, part: Any = None) -> None:
        self.size = size
        self.part = part

    def __len__(self) -> int:
        return self.size


def length_of(content: Content | Sized) -> int:
    """Bytes of a part."""
    return len(content) if isinstance(content, Sized) else sum(memoryview(buffer).nbytes for buffer in content)


def whole(content: Content | Sized) -> Any:
    """A part as its reader gets it."""
    return content if isinstance(content, Sized) else b"".join(content)


def _parts(put: Put) -> list[Part]:
    lengths = [length_of(content) for content in put.parts]
    offsets = accumulate(lengths, initial=0)
    return [Part(index, next(offsets), length) for index, length in enumerate(lengths)]


def _sizes(length: int, chunk_bytes: int) -> list[int]:
    return [min(chunk_bytes, length - start) for start in range(0, length, chunk_bytes)] or [0]


def _nothing(_: Any) -> None:
    return
