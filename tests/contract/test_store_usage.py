"""What a function asks of S3 and DynamoDB is counted, request by request."""

import uuid
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from paytrain import store
from paytrain.channels.base import Usage
from paytrain.store import Artifacts, RunTable
from tests.contract.conftest import BUCKET, RUNS


@pytest.fixture
def counted(aws: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, float]]:
    """Counts of what has been asked since the test began, without zeros."""
    store.client.cache_clear()
    monkeypatch.setattr(store, "usage", Usage())
    return lambda: {name: count for name, count in store.usage.snapshot().items() if count}


def test_s3_requests_by_kind_and_bytes(counted: Callable[[], dict[str, float]]) -> None:
    artifacts, key = Artifacts(BUCKET), uuid.uuid4().hex
    # When 1,000 bytes are written and read, a missing object is read, and two more kinds of requests are made
    artifacts.put(key, bytes(1000))
    artifacts.get(key)
    with pytest.raises(ClientError, match="NoSuchKey"):
        artifacts.get(f"{key}/missing")
    artifacts.exists(key)
    store.client("s3").head_object(Bucket=BUCKET, Key=key)
    # Then each is counted as what it is billed as; the missing one's error has a body, too
    counts = counted()
    assert counts.pop("bytes_down") >= 1000
    assert counts == {"s3_put": 1, "s3_get": 2, "s3_list": 1, "s3_head": 1, "bytes_up": 1000}


def test_dynamodb_units(counted: Callable[[], dict[str, float]], table: RunTable) -> None:
    # Given records of 1 and of 3 KB
    small, large = {"by": "x"}, {"by": "x" * 2500}
    # When they are written once, once more in vain, and read; and one that is missing is read
    table.put("claim#0#0#0", small)
    table.put_once("claim#0#0#1", large)
    assert not table.put_once("claim#0#0#1", {"by": "y" * 1500})
    table.get("claim#0#0#2")
    table.claimed_ranks(0, 0)
    # Then a write in vain is billed by what it would have written, and then it looks at what is there;
    # both records together are one read unit, as is the one that is missing
    assert counted() == {"dynamodb_write_units": 1 + 3 + 2, "dynamodb_read_units": 1 + 1 + 1, "dynamodb_requests": 6}


@pytest.mark.parametrize("length", [*range(900, 1000), 2000])
def test_write_units_are_those_that_the_service_counts(table: RunTable, length: int) -> None:
    # Given records around the size at which a second unit begins
    item, record = f"claim#0#0#{length}", {"by": "x" * length}
    answer: Any = boto3.client("dynamodb").put_item(
        TableName=RUNS, Item=table._item(item, record), ReturnConsumedCapacity="TOTAL"
    )
    assert table.write_units(item, record) == answer["ConsumedCapacity"]["CapacityUnits"]
