"""What the channels on AWS make of a service that throttles, forbids or breaks off."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse, HeadersDict
from botocore.stub import Stubber
from urllib3.exceptions import ProtocolError

from paytrain.channels import aws as aws_clients
from paytrain.channels import retry
from paytrain.channels.base import Part
from paytrain.channels.constants import ATTEMPTS
from paytrain.channels.dynamodb import DynamoDBChannel
from paytrain.channels.s3 import S3Channel, object_key
from paytrain.errors import ChannelError, FrameError
from tests.contract.conftest import BUCKET, EXPRESS_BUCKET, SESSION, TABLE
from tests.servers import CREDENTIALS

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
        channel.put(key, [[b"content"]])
    with answering_once(service, get, status, Raw(body)):
        content = channel.get(key, PART)
    # Then it arrives, and both retries are counted
    assert content == b"content"
    assert channel.usage.snapshot()["retries"] == 2


@pytest.mark.usefixtures("aws")
def test_s3_connection_that_breaks_while_the_body_is_read(key: str) -> None:
    # Given an object whose first answer breaks off
    channel = S3Channel(aws_clients.client("s3"), BUCKET)
    channel.put(key, [[b"content"]])
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
    channel.put(key, [[b"content"]])
    with pytest.raises(FrameError, match="read 0 bytes instead of 5"):
        channel.get(key, Part(1, 100, 5))


@pytest.mark.usefixtures("aws")
def test_s3_keys_are_spread_over_prefixes(key: str) -> None:
    # Given 64 objects of a run
    channel = S3Channel(aws_clients.client("s3"), BUCKET)
    keys = [f"{key[3:]}/{rank:02}" for rank in range(64)]
    for each in keys:
        channel.put(each, [[b"content"]])
    # When the bucket is listed
    client = boto3.client("s3")
    stored = [client.list_objects_v2(Bucket=BUCKET, Prefix=object_key(each))["Contents"] for each in keys]
    # Then every key has two hex digits in front, and they differ
    prefixes, rest = zip(*(item["Key"].split("/", 1) for (item,) in stored), strict=True)
    assert list(rest) == keys
    assert all(re.fullmatch("[0-9a-f]{2}", prefix) for prefix in prefixes)
    assert len(set(prefixes)) > 32


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
    channel.put(key, [[b"content"]])
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
        channel.put(key, [[b"content"]])


def test_dynamodb_items_left_out_are_asked_for_again() -> None:
    # Given a part of three items, of which a batch returns one and leaves out the other
    client = boto3.client("dynamodb", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    channel, length = DynamoDBChannel(client, TABLE, 16_384), 2 * (16_384 - 256) + 7
    item = [{"key": {"S": f"k/0/{chunk}"}, "b": {"B": bytes(16_384 - 256)}} for chunk in range(2)]
    item.append({"key": {"S": "k/0/2"}, "b": {"B": b"content"}})
    head = {"TableName": TABLE, "Key": {"key": {"S": "k/0/0"}}}
    left_out = {TABLE: {"Keys": [{"key": {"S": "k/0/2"}}], "ConsistentRead": True}}
    with Stubber(client) as stubber:
        stubber.add_response("get_item", {"Item": item[0]}, {**head, "ConsistentRead": True})
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


def test_s3express_is_addressed_in_its_zone_with_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a directory bucket where there is no endpoint of a test in between, and a service that is not called
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    aws_clients.client.cache_clear()
    client, sent = aws_clients.client("s3"), []

    def answer(request: Any, **_: Any) -> AWSResponse:
        sent.append(request)
        return AWSResponse("http://test", 200, HeadersDict({}), Raw(SESSION))

    client.meta.events.register("before-send.s3", answer)
    channel = S3Channel(client, EXPRESS_BUCKET, directory=True)
    # When it is written to twice
    for _ in range(2):
        channel.put("key", [[b"content"]])
    aws_clients.client.cache_clear()
    # Then one session is opened, and every request goes to the zone, with the session's token and on condition
    session, *puts = sent
    host = "https://exchange--use1-az4--x-s3.s3express-use1-az4.us-east-1.amazonaws.com/"
    assert session.url == f"{host}?session"
    assert [put.url for put in puts] == [host + object_key("key")] * 2
    assert {(put.headers["x-amz-s3session-token"], put.headers["If-None-Match"]) for put in puts} == {
        (b"of-a-session", b"*")
    }
    assert channel.usage.snapshot() == {"s3express_put": 2, "bytes_up": 14}


def test_s3express_forbidden_says_what_is_missing(key: str) -> None:
    # Given a client without sessions, when the service forbids, then the right permission is named
    client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stubber:
        stubber.add_client_error("get_object", "AccessDenied", http_status_code=403)
        with pytest.raises(ChannelError, match="s3express:CreateSession"):
            S3Channel(client, BUCKET, directory=True).get(key, PART)


def test_s3_small_writes_do_not_ask_first(key: str) -> None:
    # Given a write of some bytes
    client, sent = aws_clients.client("s3"), []

    def note(request: Any, **_: Any) -> AWSResponse:
        sent.append(request)
        return AWSResponse("http://test", 200, HeadersDict({}), Raw(b""))

    client.meta.events.register("before-send.s3.PutObject", note)
    # When it is sent
    S3Channel(client, BUCKET).put(key, [[b"head"], [memoryview(b"content")]])
    client.meta.events.unregister("before-send.s3.PutObject", note)
    # Then no round trip goes by for "100-continue"
    assert [bytes(request.body) for request in sent] == [b"headcontent"]
    assert "Expect" not in sent[0].headers
