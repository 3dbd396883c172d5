"""What the channel on Memcached makes of a cluster: its nodes, its limits, its restarts."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheClientError, MemcacheServerError, MemcacheUnexpectedCloseError

from paytrain.channels.base import Part
from paytrain.channels.constants import MEMCACHED_ATTEMPTS, MEMCACHED_ITEM_OVERHEAD_BYTES
from paytrain.channels.memcached import MemcachedChannel
from paytrain.errors import ChannelError, ObjectLost
from tests import servers
from tests.contract.conftest import MIB

PART = Part(0, 0, 7)


def test_a_server_that_restarts_has_forgotten_and_goes_on(key: str) -> None:
    port = servers.free_port()
    with servers.memcached("127.0.0.1", port) as endpoint:
        # Given a channel with several connections to a server
        channel = MemcachedChannel(endpoint, MIB)
        part = Part(0, 0, 500_000)
        channel.put(key, [[bytes(part.length_bytes)]])
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(lambda _: channel.get(key, part), range(200)))
        assert int(Client(endpoint).stats()[b"curr_connections"]) > 3
    # When the server restarts, and so all of them are broken
    with servers.memcached("127.0.0.1", port):
        # Then one retry finds the object gone, and the channel can be used on
        assert channel.get(key, part) is None
        assert channel.usage.snapshot()["retries"] == 1
        channel.put(key, [[b"content"]])
        assert channel.get(key, PART) == b"content"
    # And when it is gone for good, then that is an error
    with pytest.raises(OSError, match="refused"):
        channel.get(key, PART)


def test_a_server_with_smaller_items_than_planned(cache: str, key: str) -> None:
    # Given a server with items of 1 MiB and a plan that counts on 2 MiB
    channel = MemcachedChannel(cache, 2 * MIB)
    # When a larger item is written, then the error says what to change, and nothing is stored
    with pytest.raises(ChannelError, match="max_item_size"):
        channel.put(key, [[bytes(2 * MIB)]])
    assert channel.get(key, Part(0, 0, 2 * MIB)) is None


def test_a_server_too_small_for_the_part_says_so(key: str) -> None:
    # Given a server that holds 64 MiB
    with servers.memcached("127.0.0.1", servers.free_port(), item_mb=8, memory_mb=64) as endpoint:
        channel = MemcachedChannel(endpoint, 8 * MIB)
        part = Part(0, 0, 100_000_000)

        def exchange() -> None:
            channel.put(key, [[bytes(part.length_bytes)]])
            channel.get(key, part)

        # When a part of 100 MB is written and read, then the error tells that items were evicted or refused
        with pytest.raises((ObjectLost, ChannelError), match="of 12 items are gone|two rounds must fit its memory"):
            exchange()


def test_a_part_of_more_buffers_than_one_call_takes(cache: str, key: str) -> None:
    # Given a part of more buffers than Linux sends at once, some of them empty
    pieces = [bytes([number % 251]) * (number % 7) for number in range(5000)]
    content = b"".join(pieces)
    channel = MemcachedChannel(cache, MIB)
    # When it is written and read
    channel.put(key, [pieces])
    # Then it is what it was
    assert channel.get(key, Part(0, 0, len(content))) == content


BROKEN_OFF = [b"VALUE k 0 7\r\ncon", b"VALUE k 0 7\r\ncontent\r\n", b"VALUE k", b""]


@pytest.mark.parametrize("answer", BROKEN_OFF)
def test_an_answer_that_breaks_off_is_no_content(answer: bytes, key: str) -> None:
    # Given a server that closes the connection within every answer
    with server_that_answers(answer, answer, answer) as endpoint:
        channel = MemcachedChannel(endpoint, MIB)
        # When a part is read, then it is asked for as often as is allowed
        with pytest.raises(MemcacheUnexpectedCloseError):
            channel.get(key, PART)
    assert channel.usage.snapshot()["retries"] == MEMCACHED_ATTEMPTS - 1


@pytest.mark.parametrize("answer", BROKEN_OFF)
def test_what_has_come_of_an_answer_that_breaks_off_is_forgotten(answer: bytes, key: str) -> None:
    # Given a server that closes the connection within an answer, and by the next one has lost the item
    with server_that_answers(answer, b"END\r\n") as endpoint:
        channel = MemcachedChannel(endpoint, MIB)
        # When a part is read, then it is not there, and nothing has been read
        assert channel.get(key, PART) is None
    assert not channel.usage.snapshot().get("bytes_down")


def test_an_item_that_is_lost_after_half_of_it_has_come(key: str) -> None:
    # Given a server that loses the second item of a part while it is read
    chunk = MIB - MEMCACHED_ITEM_OVERHEAD_BYTES
    head = b"VALUE k 0 %d\r\n%b\r\nEND\r\n" % (chunk, bytes(chunk))
    with server_that_answers(head, b"VALUE k 0 7\r\ncon", b"END\r\n") as endpoint:
        channel = MemcachedChannel(endpoint, MIB)
        # When the part is read, then it is lost, not corrupt
        with pytest.raises(ObjectLost, match="1 of 2 items are gone"):
            channel.get(key, Part(0, 0, chunk + 7))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"SERVER_ERROR out of memory writing get response\r\n", MemcacheServerError),
        (b"CLIENT_ERROR line too long\r\n", MemcacheClientError),
        (b"ERROR\r\n", MemcacheClientError),
    ],
)
def test_an_answer_that_is_an_error(answer: bytes, error: type[Exception], key: str) -> None:
    # Given a server that refuses, when a part is read, then the error is what it said
    with server_that_answers(answer) as endpoint:
        channel = MemcachedChannel(endpoint, MIB)
        with pytest.raises(error, match=answer.decode().strip()):
            channel.get(key, PART)


@contextmanager
def server_that_answers(*answers: bytes) -> Iterator[str]:
    """One that answers gets with these, one by one, the key in place of `k`, and closes the connection after each."""
    left = list(answers)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as requests:
                for request in requests:
                    if request.startswith(b"get "):
                        connection.sendall(left.pop(0).replace(b"VALUE k", b"VALUE " + request.split()[1]))
                        break
                    connection.sendall(b"VERSION 1.6\r\n" if request == b"version\r\n" else b"ERROR\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextmanager
def configuration_endpoint(nodes: list[str]) -> Iterator[str]:
    """What ElastiCache's configuration endpoint says, in packets of a few bytes."""
    names = " ".join("node.cache.test|{}|{}".format(*node.split(":")) for node in nodes) + "\n"
    answer = f"CONFIG cluster 0 {len(names) + 2}\r\n1\n{names}\r\nEND\r\n".encode()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            assert connection.recv(1024) == b"config get cluster\r\n"
            for start in range(0, len(answer), 10):
                connection.sendall(answer[start : start + 10])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def test_nodes_are_discovered(cache: str, cache_8m: str, key: str) -> None:
    # Given a cluster of two nodes, whose configuration endpoint names them in changing order
    with configuration_endpoint([cache, cache_8m]) as endpoint:
        writer = MemcachedChannel(endpoint, MIB)
    with configuration_endpoint([cache_8m, cache]) as endpoint:
        reader = MemcachedChannel(endpoint, MIB)
    # When 64 objects are written
    keys = [f"{key[3:]}/{rank}" for rank in range(64)]
    for each in keys:
        writer.put(each, [[b"content"]])
    # Then everybody finds them, and both nodes have their share
    assert all(reader.get(each, PART) == b"content" for each in keys)
    shares = [len(Client(node).get_many([f"{each}/0/0" for each in keys])) for node in (cache, cache_8m)]
    assert sum(shares) == len(keys)
    assert min(shares) > 8
