"""Memcached as a channel: a part is one or more items on one node of the cluster."""

import socket
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheServerError, MemcacheUnexpectedCloseError
from typing_extensions import Buffer

from paytrain.channels.assembly import Assembly
from paytrain.channels.base import Content, Part, Usage
from paytrain.channels.chunks import chunk_keys, parts_of, split
from paytrain.channels.constants import (
    CONNECT_TIMEOUT_SECONDS,
    EXPIRY_SECONDS,
    MEMCACHED_ATTEMPTS,
    MEMCACHED_ITEM_OVERHEAD_BYTES,
    POLL_SECONDS,
    READ_TIMEOUT_SECONDS,
)
from paytrain.channels.memcached_items import add_item, read_items
from paytrain.channels.retry import retried
from paytrain.errors import ChannelError

Result = TypeVar("Result")
Address = tuple[str, int]

_BROKEN_CONNECTION = (OSError, MemcacheUnexpectedCloseError)


class MemcachedChannel:
    """Items of a cluster, written with ``add`` so that the first content stays.

    A key's node follows from the key and the list of nodes alone. There is no failover to another
    node: ranks would disagree on where a key is. A node that is gone fails the lap.

    Parameters
    ----------
    endpoint
        ``host:port`` of the cluster's configuration endpoint, or of a plain memcached.
    item_bytes
        The server's largest item (``max_item_size``, ``-I``), header and key included.
    """

    poll_seconds = POLL_SECONDS["memcached"]
    hedges = False

    def __init__(self, endpoint: str, item_bytes: int) -> None:
        self.usage = Usage()
        self._item_bytes = item_bytes
        self._chunk_bytes = item_bytes - MEMCACHED_ITEM_OVERHEAD_BYTES
        host, _, port = endpoint.rpartition(":")
        addresses = retried(partial(discover, (host, int(port))), _BROKEN_CONNECTION, self.usage, MEMCACHED_ATTEMPTS)
        self._nodes = [_Node(address, self.usage) for address in addresses]

    def put(self, key: str, parts: Sequence[Content]) -> None:
        """Store the parts' items, the first of every part last: its presence says that the part is complete.

        Raises
        ------
        ChannelError
            When the server refuses an item.
        """
        for part, content in zip(parts_of(parts), parts, strict=True):
            node = self._node_of(key, part)
            items = zip(chunk_keys(key, part, self._chunk_bytes), split(content, self._chunk_bytes), strict=True)
            for item_key, chunk in reversed(list(items)):
                self._add(node, item_key, chunk)

    def get(self, key: str, part: Part) -> Buffer | None:
        """Read a part: its first item, then the others, if it has several, with one request.

        Raises
        ------
        ObjectLost
            When an item has been evicted, has expired or was deleted while the first is still there.
        FrameError
            When the items are not as long as the part says.
        """
        node = self._node_of(key, part)
        keys = chunk_keys(key, part, self._chunk_bytes)
        chunks = {each: chunk for chunk, each in enumerate(keys)}
        assembly = Assembly(key, part, self._chunk_bytes)

        def place(each: str, length_bytes: int) -> memoryview:
            return assembly.place(chunks[each], length_bytes)

        for asked in filter(None, (keys[:1], keys[1:])):
            found = node.ask("get", partial(read_items, keys=asked, place=place))
            for each, length_bytes in found.items():
                assembly.arrived(chunks[each], length_bytes)
            if assembly.is_empty:
                return None
        self.usage.add(bytes_down=assembly.length_bytes)
        return assembly.whole()

    def delete(self, key: str, parts: Sequence[Part]) -> None:
        """Free the object's memory, without waiting for the answer."""
        for part in parts:
            keys = chunk_keys(key, part, self._chunk_bytes)
            self._node_of(key, part).ask("delete", partial(Client.delete_many, keys=keys, noreply=True))

    def _node_of(self, key: str, part: Part) -> "_Node":
        return self._nodes[zlib.crc32(f"{key}/{part.index}".encode()) % len(self._nodes)]

    def _add(self, node: "_Node", key: str, content: Sequence[memoryview]) -> None:
        length_bytes = sum(map(len, content))
        try:
            node.ask("add", partial(add_item, key=key, content=content, expire_seconds=EXPIRY_SECONDS))
        except MemcacheUnexpectedCloseError:
            raise
        except MemcacheServerError as error:
            raise ChannelError(
                f"Memcached refuses an item of {length_bytes} bytes ({error}): the plan counts on items of "
                f"{self._item_bytes} bytes, so the cluster's max_item_size must be at least that, and two rounds "
                "must fit its memory."
            ) from error
        self.usage.add(bytes_up=length_bytes)


class _Node:
    """Connections to one server: one for each thread that asks at the same time, kept for the next.

    pymemcache's own pool cannot drop its idle connections without closing those in use.
    """

    def __init__(self, address: Address, usage: Usage) -> None:
        self._address = address
        self._usage = usage
        self._idle: deque[Client] = deque()

    def ask(self, kind: str, call: Callable[[Client], Result]) -> Result:
        """Make an idempotent request; when the connection breaks, again on a fresh one.

        Parameters
        ----------
        kind
            ``add``, ``get`` or ``delete``: what it is counted as.
        """
        return retried(partial(self._ask_once, kind, call), _BROKEN_CONNECTION, self._usage, MEMCACHED_ATTEMPTS)

    def _ask_once(self, kind: str, call: Callable[[Client], Result]) -> Result:
        try:
            client = self._idle.pop()
        except IndexError:
            client = Client(
                self._address,
                connect_timeout=CONNECT_TIMEOUT_SECONDS,
                timeout=READ_TIMEOUT_SECONDS,
                no_delay=True,
                default_noreply=False,
            )
        self._usage.add(**{f"memcached_{kind}": 1})
        try:
            result = call(client)
        except BaseException:
            client.close()
            # Connections die together, while a sandbox is frozen or with the server: the idle ones are suspect.
            with suppress(IndexError):
                while True:
                    self._idle.pop().close()
            raise
        self._idle.append(client)
        return result


def discover(endpoint: Address) -> list[Address]:
    """Addresses of a cluster's nodes, in an order that is the same for everybody.

    A configuration endpoint of ElastiCache answers ``config get cluster`` with a header, a version,
    and a line of ``host|ip|port host|ip|port``. A plain memcached answers ``ERROR``: it is the only node.
    """
    # Not pymemcache's raw_command: it loses what came before the packet that holds the end token.
    with socket.create_connection(endpoint, CONNECT_TIMEOUT_SECONDS) as connection, connection.makefile("rb") as answer:
        connection.sendall(b"config get cluster\r\n")
        header = answer.readline()
        if not header:
            raise ConnectionResetError(f"Memcached at {endpoint[0]}:{endpoint[1]} closed the connection.")
        if not header.startswith(b"CONFIG"):
            return [endpoint]
        answer.readline()
        nodes = [node.split("|") for node in answer.readline().decode().split()]
    return sorted((ip or host, int(port)) for host, ip, port in nodes)
