"""The counts behind the receipt: exactly right for a known sequence."""

import pytest

from paytrain.channels.base import Part
from tests.contract.conftest import Service

KEY = "usage/1/0/0/0/0/0"


@pytest.mark.parametrize(("service", "kind"), [("s3", "s3"), ("s3express", "s3express")], indirect=["service"])
def test_s3(service: Service, kind: str) -> None:
    # Given a channel that writes 30 bytes in two parts, once in vain
    channel = service.open()
    channel.put(KEY, [[bytes(10)], [bytes(20)]])
    channel.put(KEY, [[bytes(10)], [bytes(20)]])
    # When it reads one part, an empty one, and two that are not there
    channel.get(KEY, Part(1, 10, 20))
    channel.get(KEY, Part(2, 30, 0))
    channel.get(f"{KEY}/missing", Part(0, 0, 20))
    channel.get(f"{KEY}/missing", Part(0, 0, 0))
    channel.delete(KEY, [])
    # Then writes count whether or not they were first, and deletes are free
    assert channel.usage.snapshot() == {
        f"{kind}_put": 2,
        f"{kind}_get": 2,
        f"{kind}_get_missing": 2,
        "bytes_up": 60,
        "bytes_down": 21,
    }


@pytest.mark.parametrize("service", ["dynamodb"], indirect=True)
def test_dynamodb(service: Service) -> None:
    # Given a part of three items: two of 399,104 bytes of content and 40 of key and names, and one of 1 byte
    channel = service.open()
    length = 2 * service.item_payload_bytes + 1
    assert length == 2 * 399_104 + 1
    channel.put(KEY, [[bytes(length)]])
    # When it is written again in vain, read, and a missing one is read
    channel.put(KEY, [[bytes(length)]])
    channel.get(KEY, Part(0, 0, length))
    channel.get(f"{KEY}/missing", Part(0, 0, length))
    channel.delete(KEY, [Part(0, 0, length)])
    # Then a write is 390 + 390 + 1 units, a read 98 + 98 + 1 units in two requests, a miss 1
    assert channel.usage.snapshot() == {
        "dynamodb_requests": 3 + 3 + 2 + 1,
        "dynamodb_write_units": 2 * (390 + 390 + 1),
        "dynamodb_read_units": 98 + 98 + 1 + 1,
        "bytes_up": 2 * length,
        "bytes_down": length,
    }


@pytest.mark.parametrize("service", ["memcached"], indirect=True)
def test_memcached(service: Service) -> None:
    # Given a part of three items
    channel = service.open()
    length = 2 * service.item_payload_bytes + 1
    channel.put(KEY, [[bytes(length)]])
    # When it is read, a missing one is read, and it is deleted
    channel.get(KEY, Part(0, 0, length))
    channel.get(f"{KEY}/missing", Part(0, 0, length))
    channel.delete(KEY, [Part(0, 0, length)])
    # Then the three adds, the get of the first and of the others, the miss and the delete count one each
    assert channel.usage.snapshot() == {
        "memcached_add": 3,
        "memcached_get": 2 + 1,
        "memcached_delete": 1,
        "bytes_up": length,
        "bytes_down": length,
    }
