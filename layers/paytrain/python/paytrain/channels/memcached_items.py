"""Memcached's ``add`` and ``get`` over pymemcache's connections, from and into the caller's buffers.

pymemcache's own copy what they store three times and what they read once, and receive 4 KB at a time: of 3 MB, storing
takes 5.6 instead of 0.5 ms of processor, reading 1.6 instead of 1.1 (two cores of a laptop twin).
"""

import socket
from collections.abc import Callable, Sequence

from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheServerError, MemcacheUnexpectedCloseError

_BUFFERS_AT_ONCE = 1024
"""What Linux takes in one ``sendmsg``."""


def add_item(client: Client, key: str, content: Sequence[memoryview], expire_seconds: int) -> None:
    """Store an item unless there is one: the first content stays.

    Parameters
    ----------
    content
        Buffers that follow one another.

    Raises
    ------
    MemcacheServerError
        When the server refuses it.
    MemcacheUnexpectedCloseError, OSError
        When the connection breaks.
    """
    connection = _connection(client)
    head = f"add {key} 0 {expire_seconds} {sum(map(len, content))}\r\n".encode()
    _send(connection, [memoryview(head), *content, memoryview(b"\r\n")])
    with connection.makefile("rb") as answers:
        if (answer := answers.readline()) not in (b"STORED\r\n", b"NOT_STORED\r\n"):
            raise _error(answer)


def read_items(client: Client, keys: Sequence[str], place: Callable[[str, int], memoryview]) -> None:
    """Read those items that are there.

    Parameters
    ----------
    place
        Called with the key and the length in bytes of each: where it goes to.

    Raises
    ------
    MemcacheServerError
        When the server refuses the request.
    MemcacheUnexpectedCloseError, OSError
        When the connection breaks.
    """
    connection = _connection(client)
    connection.sendall(f"get {' '.join(keys)}\r\n".encode())
    with connection.makefile("rb") as answers:
        while (line := answers.readline()) != b"END\r\n":
            if not (line.startswith(b"VALUE ") and line.endswith(b"\r\n")):
                raise _error(line)
            _, key, _, length = line.split()
            view = place(key.decode(), int(length))
            if answers.readinto(view) < len(view) or answers.readline() != b"\r\n":
                raise MemcacheUnexpectedCloseError()


def _connection(client: Client) -> socket.socket:
    if client.sock is None:
        client.version()  # Whatever is asked connects.
    connection: socket.socket = client.sock
    return connection


def _send(connection: socket.socket, views: Sequence[memoryview]) -> None:
    sent = connection.sendmsg(views[:_BUFFERS_AT_ONCE])
    for view in views:
        if sent < len(view):
            connection.sendall(view[sent:])
        sent = max(0, sent - len(view))


def _error(answer: bytes) -> MemcacheServerError:
    if not answer.endswith(b"\r\n"):
        return MemcacheUnexpectedCloseError()
    return MemcacheServerError(answer.decode(errors="replace").strip())
