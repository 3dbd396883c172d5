"""The services behind the channels, started once for all tests of this folder."""

import io
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse, HeadersDict
from pymemcache.client.base import Client

from paytrain import store
from paytrain.channels import aws as clients
from paytrain.channels.base import Channel
from paytrain.channels.constants import CONNECTIONS, DYNAMODB_ITEM_OVERHEAD_BYTES, MEMCACHED_ITEM_OVERHEAD_BYTES
from paytrain.channels.open import open_channel
from paytrain.plan import Plan
from paytrain.store import RunTable
from tests import servers

BUCKET = "exchange"
EXPRESS_BUCKET = "exchange--use1-az4--x-s3"
SESSION = b"""<CreateSessionResult><Credentials><SessionToken>of-a-session</SessionToken>
<AccessKeyId>test</AccessKeyId><SecretAccessKey>test</SecretAccessKey><Expiration>2099-01-01T00:00:00Z</Expiration>
</Credentials></CreateSessionResult>"""
TABLE = "exchange"
RUNS = "runs"
MIB = 1024 * 1024


def plan(channel: str, item_bytes: int, cache_endpoint: str = "") -> Plan:
    """A plan with nothing but what a channel reads of it."""
    return Plan.model_construct(
        channel=channel, item_bytes=item_bytes, cache_endpoint=cache_endpoint, express_bucket=EXPRESS_BUCKET
    )


@dataclass(frozen=True)
class Service:
    """One way to carry bytes.

    Attributes
    ----------
    plan
        Makes :func:`open_channel` open it.
    item_payload_bytes
        The longest part that fits one item; S3 has no such limit, and 1 MB stands in.
    remove_item
        Takes an item away behind the channel's back.
    """

    plan: Plan
    item_payload_bytes: int
    remove_item: Callable[[str], Any]

    def open(self, bucket: str = BUCKET, table: str = TABLE) -> Channel:
        """A channel of its own, as a worker would have it."""
        return open_channel(self.plan, exchange_bucket=bucket, exchange_table=table)


@pytest.fixture(scope="package")
def aws() -> Iterator[None]:
    """The emulator with a bucket and a table, and the environment that leads boto3 there."""
    with servers.ministack(servers.free_port()) as endpoint, pytest.MonkeyPatch.context() as environment:
        for name, value in {**servers.CREDENTIALS, "AWS_ENDPOINT_URL": endpoint}.items():
            environment.setenv(name, value)
        # Clients are kept for the life of a process; those of other tests lead elsewhere.
        clients.client.cache_clear()
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        boto3.client("dynamodb").create_table(
            TableName=TABLE,
            AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield
        clients.client.cache_clear()


@pytest.fixture(scope="package")
def express(aws: None) -> None:
    """A bucket of the emulator that has a directory bucket's name, and sessions with it.

    The emulator has no directory buckets and no CreateSession: the answer to that is given here, the rest by an
    ordinary bucket. What S3 Express itself does is not shown.
    """

    class Raw(io.BytesIO):
        def stream(self) -> Iterator[bytes]:
            yield self.read()

    def session(**_: Any) -> AWSResponse:
        return AWSResponse("http://test", 200, HeadersDict({}), Raw(SESSION))

    client = clients.client("s3", CONNECTIONS)
    client.meta.events.register("before-send.s3.CreateSession", session)
    client.create_bucket(Bucket=EXPRESS_BUCKET)


@pytest.fixture(scope="package")
def cache() -> Iterator[str]:
    """A memcached with its default limit of 1 MiB per item."""
    with servers.memcached("127.0.0.1", servers.free_port()) as endpoint:
        yield endpoint


@pytest.fixture(scope="package")
def cache_8m() -> Iterator[str]:
    """A memcached whose items may have 8 MiB."""
    with servers.memcached("127.0.0.1", servers.free_port(), item_mb=8) as endpoint:
        yield endpoint


def memcached_service(endpoint: str, item_bytes: int) -> Service:
    """A memcached as a service."""
    client = Client(endpoint, default_noreply=False)
    payload_bytes = item_bytes - MEMCACHED_ITEM_OVERHEAD_BYTES
    return Service(plan("memcached", item_bytes, endpoint), payload_bytes, client.delete)


@pytest.fixture(params=["s3", "s3express", "dynamodb", "memcached", "memcached-8m"])
def service(request: pytest.FixtureRequest) -> Service:
    """Every service in turn."""
    if request.param == "memcached":
        return memcached_service(request.getfixturevalue("cache"), MIB)
    if request.param == "memcached-8m":
        return memcached_service(request.getfixturevalue("cache_8m"), 8 * MIB)
    request.getfixturevalue("aws")
    if request.param == "s3express":
        request.getfixturevalue("express")
    if request.param in ("s3", "s3express"):
        return Service(plan(request.param, MIB), 1_000_000, lambda key: None)
    item_bytes = 390 * 1024
    dynamodb = boto3.client("dynamodb")
    return Service(
        plan("dynamodb", item_bytes),
        item_bytes - DYNAMODB_ITEM_OVERHEAD_BYTES,
        lambda key: dynamodb.delete_item(TableName=TABLE, Key={"key": {"S": key}}),
    )


@pytest.fixture
def channel(service: Service) -> Channel:
    """A channel to the service."""
    return service.open()


@pytest.fixture
def key() -> str:
    """A key nobody has used, in the form and nearly the length that runs may give it."""
    return f"{uuid.uuid4()}/1/0/0/0/0/0".rjust(199, "r")


@pytest.fixture(scope="package")
def runs_table(aws: None) -> Iterator[str]:
    """The table of runs' records."""
    store.client.cache_clear()
    boto3.client("dynamodb").create_table(
        TableName=RUNS,
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("run_id", "item")],
        KeySchema=[{"AttributeName": "run_id", "KeyType": "HASH"}, {"AttributeName": "item", "KeyType": "RANGE"}],
        BillingMode="PAY_PER_REQUEST",
    )
    yield RUNS
    store.client.cache_clear()


@pytest.fixture
def table(runs_table: str) -> RunTable:
    """A run's records, of which there are none yet."""
    return RunTable(runs_table, uuid.uuid4().hex)
