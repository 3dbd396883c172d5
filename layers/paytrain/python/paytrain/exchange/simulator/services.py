"""The services under virtual time: single requests as S3, DynamoDB and Memcached take them.

A request costs the client's CPU, waits for the service's rate limit, moves its bytes over the links, and takes a
latency drawn from the profile. What it writes is there when it ends.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from paytrain.channels.constants import DYNAMODB_READ_UNIT_BYTES, DYNAMODB_WRITE_UNIT_BYTES
from paytrain.exchange.simulator.links import Link, RateLimit
from paytrain.exchange.simulator.world import Done, SortedStore, Store, World, request_seconds, spread

HTTP_BYTES = 600
"""Headers of a request or an answer, about."""

LIST_KEYS = 1000
"""Keys on a page of ListObjectsV2."""

SCAN_PAGE_BYTES = 2**20
"""What a page of Scan reads at most."""


class S3:
    """A bucket.

    Parameters
    ----------
    directory
        A directory bucket (S3 Express One Zone), whose 100,000 PUT and 200,000 GET per second are taken to be enough.
    """

    def __init__(self, world: World, *, directory: bool = False) -> None:
        self.store = SortedStore()
        self._world = world
        self._service = world.profile.services["s3express" if directory else "s3"]
        profile = world.profile
        puts, gets = (math.inf, math.inf) if directory else (profile.s3_puts_per_second, profile.s3_gets_per_second)
        self._puts = [RateLimit(puts) for _ in range(profile.s3_partitions)]
        self._gets = [RateLimit(gets) for _ in range(profile.s3_partitions)]
        self._prefix = "s3express" if directory else "s3"

    def put(self, rank: int, key: str, content: Any, size: int, done: Done) -> None:
        """PutObject."""
        world = self._world
        world.usage[rank].add(**{f"{self._prefix}_put": 1}, bytes_up=size)
        leaves = request_seconds(world, rank, self._service)
        admitted = self._puts[spread(key, len(self._puts))].admit(leaves)
        sent = world.send(rank, leaves, size + HTTP_BYTES, self._service.put_stream)
        ends = max(admitted, sent) + world.latency(self._service.put)
        world.clock.at(ends, partial(self._store, key, content, done))

    def get(self, rank: int, key: str, size: int | None, done: Done) -> None:
        """GetObject of ``size`` bytes, or of the whole object; ends with its content, or None if there is none."""
        world = self._world
        leaves = request_seconds(world, rank, self._service)
        admitted = self._gets[spread(key, len(self._gets))].admit(leaves)
        world.clock.at(admitted + world.latency(self._service.get), partial(self._answer, rank, key, size, done))

    def list(self, rank: int, prefix: str, done: Done) -> None:
        """ListObjectsV2 with as many pages as there are; ends with the keys."""
        world = self._world
        pages = max(1, math.ceil(self.store.count(prefix) / LIST_KEYS))
        world.usage[rank].add(**{f"{self._prefix}_list": pages})
        leaves = request_seconds(world, rank, self._service)
        ends = leaves + sum(world.latency(self._service.list) for _ in range(pages))
        # What is listed is what is there when the answer is made.
        world.clock.at(ends, lambda: done(self.store.listed(prefix)))

    def delete(self, rank: int, keys: Sequence[str], done: Done) -> None:
        """DeleteObject, or DeleteObjects of several; free of charge."""
        world = self._world
        world.usage[rank].add(**{f"{self._prefix}_delete": 1})
        leaves = request_seconds(world, rank, self._service)
        world.clock.at(leaves + world.latency(self._service.delete), partial(self._forget, keys, done))

    def _store(self, key: str, content: Any, done: Done) -> None:
        self.store.add(key, content)
        done(None)

    def _answer(self, rank: int, key: str, size: int | None, done: Done) -> None:
        world = self._world
        content = self.store.objects.get(key)
        if content is None:
            world.usage[rank].add(**{f"{self._prefix}_get_missing": 1})
            done(None)
            return
        length = len(content) if size is None else size
        world.usage[rank].add(**{f"{self._prefix}_get": 1}, bytes_down=length)
        ends = world.receive(rank, world.clock.now, length + HTTP_BYTES, self._service.get_stream)
        world.clock.at(ends, partial(done, content))

    def _forget(self, keys: Sequence[str], done: Done) -> None:
        for key in keys:
            self.store.remove(key)
        done(None)


class DynamoDB:
    """A table on demand whose partition key is the item's key."""

    def __init__(self, world: World) -> None:
        self.store = Store()
        self._size_bytes = 0
        self._world = world
        self._service = world.profile.services["dynamodb"]
        partitions = range(world.profile.dynamodb_partitions)
        self._writes = [RateLimit(world.profile.dynamodb_write_units) for _ in partitions]
        self._reads = [RateLimit(world.profile.dynamodb_read_units) for _ in partitions]

    def put(self, rank: int, key: str, content: Any, size: int, done: Done) -> None:
        """PutItem."""
        world = self._world
        units = max(1, -(-size // DYNAMODB_WRITE_UNIT_BYTES))
        world.usage[rank].add(dynamodb_requests=1, dynamodb_write_units=units, bytes_up=size)
        leaves = request_seconds(world, rank, self._service)
        admitted = self._writes[spread(key, len(self._writes))].admit(leaves, units)
        # JSON carries bytes in base64: four for three.
        sent = world.send(rank, leaves, size * 4 // 3 + HTTP_BYTES, self._service.put_stream)
        ends = max(admitted, sent) + world.latency(self._service.put) + size * self._service.seconds_per_byte
        world.clock.at(ends, partial(self._store, key, content, done))

    def get(self, rank: int, keys: Sequence[str], done: Done, *, consistent: bool = True) -> None:
        """BatchGetItem, or GetItem of one; ends with the contents of those that exist.

        A read that need not be strongly consistent takes half the units; what it finds is taken to be the same.
        """
        world = self._world
        leaves = request_seconds(world, rank, self._service)
        world.clock.at(leaves, partial(self._read, rank, keys, 1.0 if consistent else 0.5, done))

    def scan(self, rank: int, done: Done) -> None:
        """Scan of all items, a page of 1 MB after the other, eventually consistent; ends with key → content.

        What is found is what is there when the answer is made; who is told may look, and must neither keep nor change.
        """
        world = self._world
        size = self._size_bytes
        pages = max(1, math.ceil(size / SCAN_PAGE_BYTES))
        units = max(1, math.ceil(size / (2 * DYNAMODB_READ_UNIT_BYTES)))
        world.usage[rank].add(dynamodb_requests=pages, dynamodb_read_units=units, bytes_down=size)
        leaves = world.cpu(rank, pages * self._service.cpu_seconds)
        admitted = max(limit.admit(leaves, units / len(self._reads)) for limit in self._reads)
        latency = sum(world.latency(self._service.get) for _ in range(pages)) + size * self._service.seconds_per_byte
        ends = world.receive(rank, admitted + latency, size * 4 // 3 + HTTP_BYTES, self._service.get_stream)
        world.clock.at(ends, partial(done, self.store.objects))

    def delete(self, rank: int, key: str, done: Done) -> None:
        """DeleteItem; billed like a write."""
        world = self._world
        size = len(self.store.objects.get(key, b""))
        units = max(1, -(-size // DYNAMODB_WRITE_UNIT_BYTES))
        world.usage[rank].add(dynamodb_requests=1, dynamodb_write_units=units)
        leaves = request_seconds(world, rank, self._service)
        admitted = self._writes[spread(key, len(self._writes))].admit(leaves, units)
        world.clock.at(admitted + world.latency(self._service.delete), partial(self._forget, key, done))

    def _store(self, key: str, content: Any, done: Done) -> None:
        if key not in self.store.objects:
            self._size_bytes += len(content)
            self.store.add(key, content)
        done(None)

    def _read(self, rank: int, keys: Sequence[str], share: float, done: Done) -> None:
        world = self._world
        found = {key: self.store.objects[key] for key in keys if key in self.store.objects}
        units, size, admitted = 0.0, 0, world.clock.now
        for key in keys:
            length = len(found[key]) if key in found else 0
            item_units = share * max(1, -(-length // DYNAMODB_READ_UNIT_BYTES))
            limit = self._reads[spread(key, len(self._reads))]
            admitted = max(admitted, limit.admit(world.clock.now, item_units))
            units, size = units + item_units, size + length
        world.usage[rank].add(dynamodb_requests=1, dynamodb_read_units=units, bytes_down=size)
        first_byte = admitted + world.latency(self._service.get) + size * self._service.seconds_per_byte
        ends = world.receive(rank, first_byte, size * 4 // 3 + HTTP_BYTES, self._service.get_stream)
        world.clock.at(ends, partial(done, found))

    def _forget(self, key: str, done: Done) -> None:
        self._size_bytes -= len(self.store.objects.get(key, b""))
        self.store.remove(key)
        done(None)


class Memcached:
    """A cluster of equal nodes.

    Parameters
    ----------
    node_type
        Whose bandwidth the nodes have.
    """

    def __init__(self, world: World, *, node_type: str, nodes: int = 1) -> None:
        self.store = Store()
        self.nodes = nodes
        self._world = world
        self._service = world.profile.services["memcached"]
        base = world.profile.node_base[node_type]
        self._into = [Link(base) for _ in range(nodes)]
        self._out_of = [Link(base) for _ in range(nodes)]

    def add(self, rank: int, node: int, key: str, content: Any, size: int, done: Done) -> None:
        """``add`` of one item."""
        world = self._world
        world.usage[rank].add(memcached_requests=1, bytes_up=size)
        leaves = request_seconds(world, rank, self._service)
        sent = world.send(rank, leaves, size, self._service.put_stream, self._into[node])
        world.clock.at(sent + world.latency(self._service.put), partial(self._store, key, content, done))

    def get(self, rank: int, node: int, keys: Sequence[str], done: Done) -> None:
        """``get`` of one or several items; ends with the contents of those that exist."""
        world = self._world
        world.usage[rank].add(memcached_requests=1)
        leaves = request_seconds(world, rank, self._service)
        first_byte = leaves + world.latency(self._service.get)
        world.clock.at(first_byte, partial(self._answer, rank, node, keys, done))

    def delete(self, rank: int, keys: Sequence[str], done: Done) -> None:
        """``delete`` of items, whose answer nobody waits for."""
        world = self._world
        world.usage[rank].add(memcached_requests=1)
        leaves = request_seconds(world, rank, self._service)
        world.clock.at(leaves + world.latency(self._service.delete), partial(self._forget, keys, done))

    def _store(self, key: str, content: Any, done: Done) -> None:
        self.store.add(key, content)
        done(None)

    def _answer(self, rank: int, node: int, keys: Sequence[str], done: Done) -> None:
        world = self._world
        found = {key: self.store.objects[key] for key in keys if key in self.store.objects}
        size = sum(map(len, found.values()))
        world.usage[rank].add(bytes_down=size)
        ends = world.receive(rank, world.clock.now, size, self._service.get_stream, self._out_of[node])
        world.clock.at(ends, partial(done, found))

    def _forget(self, keys: Sequence[str], done: Done) -> None:
        for key in keys:
            self.store.remove(key)
        done(None)
