"""One suite for every channel: what the exchange counts on."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from botocore.exceptions import ClientError
from typing_extensions import Buffer

from paytrain.channels.base import Channel, Part
from paytrain.channels.chunks import chunk_keys, parts_of
from paytrain.errors import FrameError, ObjectLost
from tests.contract.conftest import Service

WITH_ITEMS = pytest.mark.parametrize("service", ["dynamodb", "memcached", "memcached-8m"], indirect=True)
PATIENCE_SECONDS = 60


def read(channel: Channel, key: str, lengths: Sequence[int]) -> list[Buffer | None]:
    """All parts of an object whose parts have these lengths."""
    return [channel.get(key, part) for part in parts_of([[bytes(length)] for length in lengths])]


def wait_for(channel: Channel, key: str, part: Part) -> Buffer:
    """Poll, as the exchange does, until the part is there."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (content := channel.get(key, part)) is None:
        assert time.monotonic() < deadline, f"{key} never arrived"
        time.sleep(channel.poll_seconds)
    return content


@pytest.mark.parametrize("length", [0, 1, 4096, 1_000_000])
def test_a_part_comes_back_as_it_was(channel: Channel, key: str, length: int) -> None:
    # Given an object of one part
    content = os.urandom(length)
    channel.put(key, [[content]])
    # When it is read, then the bytes are the same
    assert read(channel, key, [length]) == [content]


@pytest.mark.parametrize("items", [1, 2])
@pytest.mark.parametrize("around", [-1, 0, 1])
def test_parts_around_the_item_limit(service: Service, key: str, items: int, around: int) -> None:
    # Given a part that just fits, or just does not fit, one or two items of the service
    channel, content = service.open(), os.urandom(items * service.item_payload_bytes + around)
    # When it is written and read
    channel.put(key, [[content]])
    # Then nothing is missing
    assert read(channel, key, [len(content)]) == [content]


def test_parts_of_unequal_lengths(service: Service, key: str) -> None:
    # Given an object whose parts are empty, short, and longer than an item
    lengths = [5, 0, 1, service.item_payload_bytes + 3, 4096, 0]
    contents = [os.urandom(length) for length in lengths]
    service.open().put(key, [[content] for content in contents])
    # When another worker reads them in another order
    channel = service.open()
    found = {part.index: channel.get(key, part) for part in reversed(parts_of([[content] for content in contents]))}
    # Then each is its own
    assert [found[index] for index in range(len(lengths))] == contents


def test_100_mb(channel: Channel, key: str) -> None:
    # Given a vector of 100 MB
    content = os.urandom(100_000_000)
    # When it is written as one part
    channel.put(key, [[content]])
    # Then it is read as it was
    assert read(channel, key, [len(content)]) == [content]
    channel.delete(key, parts_of([[content]]))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda raw: np.frombuffer(raw, np.float32).data])
def test_any_buffer_can_be_put(channel: Channel, key: str, kind: Callable[[bytes], Buffer]) -> None:
    # Given a buffer of any type between two others, one of them empty
    content = os.urandom(400)
    # When they are put
    channel.put(key, [[b"head"], [kind(content)], [np.empty((0, 3), np.float32).data]])
    # Then their bytes are read
    assert read(channel, key, [4, 400, 0]) == [b"head", content, b""]


@pytest.mark.parametrize("length", [0, 10])
def test_a_part_that_is_not_there_yet(channel: Channel, key: str, length: int) -> None:
    # Given a key nobody has written, when it is read, then the answer is "not yet"
    assert channel.get(key, Part(0, 0, length)) is None
    # And once it is written, it is there
    channel.put(key, [[bytes(length)]])
    assert channel.get(key, Part(0, 0, length)) == bytes(length)


def test_the_first_write_wins(service: Service, key: str) -> None:
    # Given an object
    first, second = [b"first", b"content"], [b"other", b"matters"]
    service.open().put(key, [[part] for part in first])
    # When somebody writes the key again
    service.open().put(key, [[part] for part in second])
    # Then nothing has changed
    assert read(service.open(), key, [5, 7]) == first


def test_two_writers_at_once_leave_one_content(service: Service, key: str) -> None:
    for attempt in range(20):
        # Given two writers of the same key with different contents
        contents = [bytes([letter]) * 4096 for letter in b"ab"]
        barrier = threading.Barrier(len(contents))

        def write(content: bytes, barrier: threading.Barrier = barrier, key: str = f"{attempt}{key[2:]}") -> Buffer:
            channel = service.open()
            barrier.wait(PATIENCE_SECONDS)
            channel.put(key, [[content]])
            return wait_for(channel, key, Part(0, 0, len(content)))

        # When they write at the same time and read what is stored
        with ThreadPoolExecutor(len(contents)) as pool:
            stored = list(pool.map(write, contents))
        # Then both see the same, whole content
        assert stored[0] == stored[1]
        assert stored[0] in contents


def test_a_reader_never_sees_half_a_part(service: Service, key: str) -> None:
    for attempt in range(3):
        # Given a reader that polls for a part of five items
        each, content = f"{attempt}{key[2:]}", os.urandom(4 * service.item_payload_bytes + 1)
        (part,) = parts_of([[content]])
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(wait_for, service.open(), each, part)
            # When another worker writes it
            service.open().put(each, [[content]])
            # Then the reader waits for the whole, and never takes it for lost
            assert reading.result(PATIENCE_SECONDS) == content


def test_many_threads_share_a_channel(channel: Channel, key: str) -> None:
    # Given 16 threads with one channel
    ranks = range(16)
    contents = [os.urandom(20_000 + rank) for rank in ranks]
    keys = [f"{key[4:]}/{rank}" for rank in ranks]

    def exchange(rank: int) -> list[Buffer]:
        channel.put(keys[rank], [[contents[rank]]])
        return [wait_for(channel, keys[peer], Part(0, 0, len(contents[peer]))) for peer in ranks]

    # When each writes its piece and reads everybody's
    with ThreadPoolExecutor(len(ranks)) as pool:
        seen = list(pool.map(exchange, ranks))
    # Then all have seen all, and everything was counted
    assert seen == [contents] * len(ranks)
    total = sum(map(len, contents))
    assert channel.usage.snapshot()["bytes_up"] == total
    assert channel.usage.snapshot()["bytes_down"] == total * len(ranks)


@pytest.mark.parametrize("service", ["s3", "s3express", "memcached", "memcached-8m"], indirect=True)
def test_a_deleted_object_is_gone(service: Service, key: str) -> None:
    # Given an object of two parts, one longer than an item
    channel = service.open()
    contents = [[b"short"], [os.urandom(service.item_payload_bytes + 1)]]
    channel.put(key, contents)
    # When it is deleted
    channel.delete(key, parts_of(contents))
    # Then its parts are gone, for others too
    assert [wait_until_gone(service.open(), key, part) for part in parts_of(contents)] == [
        None,
        None,
    ]


def wait_until_gone(channel: Channel, key: str, part: Part) -> Buffer | None:
    """Memcached is told to delete and not waited for."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (content := channel.get(key, part)) is not None and time.monotonic() < deadline:
        time.sleep(channel.poll_seconds)
    return content


def test_deleting_what_is_not_there(channel: Channel, key: str) -> None:
    # Given no object, when it is deleted, then nothing happens and it is still "not yet"
    channel.delete(key, [Part(0, 0, 10)])
    assert channel.get(key, Part(0, 0, 10)) is None


@WITH_ITEMS
def test_a_forgotten_item_is_an_object_lost(service: Service, key: str) -> None:
    # Given a part of three items
    content = os.urandom(2 * service.item_payload_bytes + 1)
    (part,) = parts_of([[content]])
    channel = service.open()
    channel.put(key, [[content]])
    # When the service forgets the last
    service.remove_item(chunk_keys(key, part, service.item_payload_bytes)[2])
    # Then the reader is told so, and not that the object is still to come
    with pytest.raises(ObjectLost, match="1 of 3 items"):
        channel.get(key, part)


def test_a_part_shorter_than_its_reader_expects(channel: Channel, key: str) -> None:
    # Given an object of 9 bytes, when 10 are read, then they are refused
    channel.put(key, [[bytes(9)]])
    with pytest.raises(FrameError, match="read 9 bytes instead of 10"):
        channel.get(key, Part(0, 0, 10))


@WITH_ITEMS
def test_a_part_longer_than_its_reader_expects(channel: Channel, key: str) -> None:
    # Given an object of 11 bytes, when 10 are read, then they are refused
    channel.put(key, [[bytes(11)]])
    with pytest.raises(FrameError, match="read 11 bytes instead of 10"):
        channel.get(key, Part(0, 0, 10))


@pytest.mark.parametrize("service", ["s3", "dynamodb"], indirect=True)
def test_a_missing_bucket_or_table_is_not_a_missing_object(service: Service, key: str) -> None:
    # Given a channel to a bucket and a table that do not exist
    channel = service.open(bucket="nowhere-to-be-found", table="nowhere-to-be-found")
    # When it is used, then the service's error is raised
    with pytest.raises(ClientError, match="NoSuchBucket|ResourceNotFoundException"):
        channel.get(key, Part(0, 0, 10))
    with pytest.raises(ClientError, match="NoSuchBucket|ResourceNotFoundException"):
        channel.put(key, [[b"content"]])
