"""What a channel makes of a service that throttles, forbids, breaks off, restarts or is not there."""

import io
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse, HeadersDict
from botocore.stub import Stubber
from pymemcache.client.base import Client
from urllib3.exceptions import ProtocolError

from paytrain.channels import aws as aws_clients
from paytrain.channels import retry
from paytrain.channels.base import Part
from paytrain.channels.constants import ATTEMPTS
from paytrain.channels.dynamodb import DynamoDBChannel
from paytrain.channels.errors import ChannelError
from paytrain.channels.memcached import MemcachedChannel
from paytrain.channels.s3 import S3Channel, object_key
from paytrain.errors import FrameError
from tests import servers
from tests.contract.conftest import BUCKET, MIB, TABLE

PART = Part(0, 0, 7)
THROTTLED = {
    "s3": (503, b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"),
    "dynamodb": (400, b'{"__type": "ProvisionedThroughputExceededException", "message": "slow down"}'),
}


class Raw(io.BytesIO):
    """The body of an answer as urllib3 gives it."""

    def stream(self) -> Iterator[bytes]:
        yield self.read()


class Broken(Raw):
    """A body whose connection breaks."""

    def read(self, *_: Any) -> bytes:
        raise ProtocolError("Connection broken")


@contextmanager
def answering_once(service: str, operation: str, status: int, raw: Raw) -> Iterator[None]:
    """Answer the next request of an operation in the service's stead."""
    events, name = aws_clients.client(service).meta.events, f"before-send.{service}.{operation}"
    answers = [AWSResponse("http://test", status, HeadersDict({"content-length": "7"}), raw)]

    def answer(**_: Any) -> AWSResponse | None:
        return answers.pop() if answers else None

    events.register(name, answer)
    try:
        yield
    finally:
        events.unregister(name, answer)
    assert not answers, f"{operation} was never called"


@pytest.fixture
def stubbed_s3() -> Iterator[tuple[S3Channel, Stubber]]:
    """A channel whose S3 says what it is told to say."""
    client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stubber:
        yield S3Channel(client, BUCKET), stubber
        stubber.assert_no_pending_responses()


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("service", "put", "get"), [("s3", "PutObject", "GetObject"), ("dynamodb", "PutItem", "GetItem")]
)
def test_throttling_is_retried_and_counted(service: str, put: str, get: str, key: str) -> None:
    # Given a service that throttles the first write and the first read
    client = aws_clients.client(service)
    channel = S3Channel(client, BUCKET) if service == "s3" else DynamoDBChannel(client, TABLE, 16_384)
    status, body = THROTTLED[service]
    # When an object is written and read
    with answering_once(service, put, status, Raw(body)):
        channel.put(key, [b"content"])
    with answering_once(service, get, status, Raw(body)):
        content = channel.get(key, PART)
    # Then it arrives, and both retries are counted
    assert content == b"content"
    assert channel.usage.snapshot()["retries"] == 2


@pytest.mark.usefixtures("aws")
def test_s3_connection_that_breaks_while_the_body_is_read(key: str) -> None:
    # Given an object whose first answer breaks off
    channel = S3Channel(aws_clients.client("s3"), BUCKET)
    channel.put(key, [b"content"])
    # When it is read
    with answering_once("s3", "GetObject", 206, Broken()):
        content = channel.get(key, PART)
    # Then it was read again, and both reads are paid for
    assert content == b"content"
    assert channel.usage.snapshot() == {"s3_put": 1, "bytes_up": 7, "s3_get": 2, "bytes_down": 7, "retries": 1}


@pytest.mark.usefixtures("aws")
def test_s3_part_behind_the_end_of_its_object(key: str) -> None:
    # Given an object of 7 bytes, when a part from byte 100 is read, then it is not "not yet"
    channel = S3Channel(aws_clients.client("s3"), BUCKET)
    channel.put(key, [b"content"])
    with pytest.raises(FrameError, match="read 0 bytes instead of 5"):
        channel.get(key, Part(1, 100, 5))


@pytest.mark.usefixtures("aws")
def test_s3_keys_are_spread_over_prefixes(key: str) -> None:
    # Given 64 objects of a run
    channel = S3Channel(aws_clients.client("s3"), BUCKET)
    keys = [f"{key[3:]}/{rank}" for rank in range(64)]
    for each in keys:
        channel.put(each, [b"content"])
    # When the bucket is listed, then every key has two hex digits in front, and they differ
    prefixes = set()
    for each in keys:
        prefix, stored = object_key(each).split("/", 1)
        found = boto3.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/{stored}")
        assert [item["Key"] for item in found["Contents"]] == [f"{prefix}/{each}"]
        assert len(prefix) == 2
        assert 0 <= int(prefix, 16) < 256
        prefixes.add(prefix)
    assert len(prefixes) > 32


def test_s3_forbidden_is_an_error_and_says_what_is_missing(stubbed_s3: tuple[S3Channel, Stubber], key: str) -> None:
    # Given a role that may not list the bucket
    channel, stubber = stubbed_s3
    stubber.add_client_error("get_object", "AccessDenied", "Access Denied", 403)
    # When it polls a key, then it is told which permission it lacks
    with pytest.raises(ChannelError, match="s3:ListBucket"):
        channel.get(key, PART)


def test_s3_write_that_meets_another_is_repeated(stubbed_s3: tuple[S3Channel, Stubber], key: str) -> None:
    # Given a conditional write that meets another, and then finds its object
    channel, stubber = stubbed_s3
    stubber.add_client_error("put_object", "ConditionalRequestConflict", http_status_code=409)
    stubber.add_client_error("put_object", "PreconditionFailed", http_status_code=412)
    # When it is made, then it succeeds with one retry
    channel.put(key, [b"content"])
    assert channel.usage.snapshot() == {"s3_put": 2, "bytes_up": 14, "retries": 1}


def test_s3_writes_that_never_get_through(
    stubbed_s3: tuple[S3Channel, Stubber], key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given conditional writes that always meet another
    channel, stubber = stubbed_s3
    monkeypatch.setattr(retry, "BACKOFF_SECONDS", 0)
    for _ in range(ATTEMPTS):
        stubber.add_client_error("put_object", "ConditionalRequestConflict", http_status_code=409)
    # When one is made, then it ends with a sentence
    with pytest.raises(ChannelError, match="is being written by others"):
        channel.put(key, [b"content"])


def test_dynamodb_items_left_out_are_asked_for_again() -> None:
    # Given a part of three items, of which a batch returns one and leaves out the other
    client = boto3.client("dynamodb", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    channel, length = DynamoDBChannel(client, TABLE, 16_384), 2 * (16_384 - 256) + 7
    item = [{"key": {"S": f"k/0/{chunk}"}, "b": {"B": bytes(16_384 - 256)}} for chunk in range(2)]
    item.append({"key": {"S": "k/0/2"}, "b": {"B": b"content"}})
    left_out = {TABLE: {"Keys": [{"key": {"S": "k/0/2"}}], "ConsistentRead": True}}
    with Stubber(client) as stubber:
        stubber.add_response("get_item", {"Item": item[0]})
        stubber.add_response("batch_get_item", {"Responses": {TABLE: [item[1]]}, "UnprocessedKeys": left_out})
        stubber.add_response(
            "batch_get_item", {"Responses": {TABLE: [item[2]]}, "UnprocessedKeys": {}}, {"RequestItems": left_out}
        )
        # When it is read
        content = channel.get("k", Part(0, 0, length))
    # Then it is whole, and what was left out was not paid for
    assert content == bytes(length - 7) + b"content"
    assert channel.usage.snapshot() == {
        "dynamodb_requests": 3,
        "dynamodb_read_units": 4 + 4 + 1,
        "bytes_down": length,
        "retries": 1,
    }


def test_memcached_that_restarts_has_forgotten_and_goes_on(key: str) -> None:
    port = servers.free_port()
    with servers.memcached("127.0.0.1", port) as endpoint:
        # Given a channel with several connections to a server
        channel = MemcachedChannel(endpoint, MIB)
        part = Part(0, 0, 500_000)
        channel.put(key, [bytes(part.length_bytes)])
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(lambda _: channel.get(key, part), range(200)))
        assert int(Client(endpoint).stats()[b"curr_connections"]) > 3
    # When the server restarts, and so all of them are broken
    with servers.memcached("127.0.0.1", port):
        # Then one retry finds the object gone, and the channel can be used on
        assert channel.get(key, part) is None
        assert channel.usage.snapshot()["retries"] == 1
        channel.put(key, [b"content"])
        assert channel.get(key, PART) == b"content"
    # And when it is gone for good, then that is an error
    with pytest.raises(OSError, match="refused"):
        channel.get(key, PART)


def test_memcached_with_smaller_items_than_planned(cache: str, key: str) -> None:
    # Given a server with items of 1 MiB and a plan that counts on 2 MiB
    channel = MemcachedChannel(cache, 2 * MIB)
    # When a larger item is written, then the error says what to change, and nothing is stored
    with pytest.raises(ChannelError, match="max_item_size"):
        channel.put(key, [bytes(2 * MIB)])
    assert channel.get(key, Part(0, 0, 2 * MIB)) is None


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


def test_memcached_nodes_are_discovered(cache: str, cache_8m: str, key: str) -> None:
    # Given a cluster of two nodes, whose configuration endpoint names them in changing order
    with configuration_endpoint([cache, cache_8m]) as endpoint:
        writer = MemcachedChannel(endpoint, MIB)
    with configuration_endpoint([cache_8m, cache]) as endpoint:
        reader = MemcachedChannel(endpoint, MIB)
    # When 64 objects are written
    keys = [f"{key[3:]}/{rank}" for rank in range(64)]
    for each in keys:
        writer.put(each, [b"content"])
    # Then everybody finds them, and both nodes have their share
    assert all(reader.get(each, PART) == b"content" for each in keys)
    shares = [len(Client(node).get_many([f"{each}/0/0" for each in keys])) for node in (cache, cache_8m)]
    assert sum(shares) == len(keys)
    assert min(shares) > 8


@pytest.mark.parametrize(
    ("name", "unneeded"), [("s3", "pymemcache"), ("dynamodb", "pymemcache"), ("memcached", "boto3")]
)
def test_only_the_clients_that_are_used_are_imported(name: str, unneeded: str, cache: str) -> None:
    # Given a fresh interpreter, when it opens a channel
    program = (
        "import sys; from paytrain.channels.open import open_channel; from paytrain.plan import Plan;"
        f"plan = Plan.model_construct(channel={name!r}, item_bytes=16384, cache_endpoint={cache!r});"
        "channel = open_channel(plan, exchange_bucket='b', exchange_table='t');"
        f"print(type(channel).__name__.lower(), {unneeded!r} in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    # Then it is the right one, and the other library was left alone
    assert output == f"{name}channel False\n"
