"""A run's memory on AWS: records in the run table, objects in S3. Thin calls; what they mean is said by the callers."""

import functools
import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from pydantic import BaseModel

from paytrain.channels.base import Usage
from paytrain.channels.constants import DYNAMODB_WRITE_UNIT_BYTES
from paytrain.channels.retry import BROKEN_BODY, retried
from paytrain.errors import JobError
from paytrain.run import Checkpoint, Items, Keys, Outcome, Spent
from paytrain.streams import ObjectWriter, open_object

_RECORD_DAYS = 30
_DELETED_AT_ONCE = 1000
"""Keys of one DeleteObjects request at most."""
_EXPIRY_BYTES = 6
"""Ten digits, as DynamoDB stores them: one byte for every two, and one more."""
_CONFIG = Config(
    max_pool_connections=16,
    connect_timeout=5,
    read_timeout=60,
    retries={"mode": "standard", "total_max_attempts": 6},
    tcp_keepalive=True,
)


_S3_KINDS = {"Get": "s3_get", "Head": "s3_head", "List": "s3_list", "Delete": "s3_delete", "Abort": "s3_delete"}
"""By how operations' names begin; all others write."""

usage = Usage()
"""What this process has asked of S3 and DynamoDB through the clients below; a channel counts for itself."""


@functools.cache
def client(service: str) -> Any:
    """The process' one client of a service, every request of which is counted."""
    made = boto3.client(service, config=_CONFIG)
    made.meta.events.register("before-send.s3", _count_s3_body)
    made.meta.events.register("response-received.s3", _count_s3)
    made.meta.events.register("response-received.dynamodb", _count_dynamodb)
    return made


def _count_s3_body(request: Any, **_: Any) -> None:
    usage.add(bytes_up=int(request.headers.get("Content-Length") or 0))


def _count_s3(event_name: str, response_dict: dict[str, Any] | None, **_: Any) -> None:
    """Count a request once it is answered; S3 does not charge for its own errors, and nobody knows of a lost answer."""
    operation = event_name.rsplit(".", 1)[1]
    kind = next((kind for verb, kind in _S3_KINDS.items() if operation.startswith(verb)), "s3_put")
    if response_dict is None or response_dict["status_code"] < HTTPStatus.INTERNAL_SERVER_ERROR:
        usage.add(**{kind: 1})
    if response_dict is not None and kind == "s3_get":
        usage.add(bytes_down=int(response_dict["headers"].get("Content-Length") or 0))


def _count_dynamodb(event_name: str, parsed_response: dict[str, Any] | None, **_: Any) -> None:
    """Count the units that the answer says were consumed; a throttled request consumes none."""
    kind = "dynamodb_write_units" if event_name.endswith(".PutItem") else "dynamodb_read_units"
    consumed = (parsed_response or {}).get("ConsumedCapacity", {}).get("CapacityUnits", 0.0)
    usage.add(**{kind: consumed, "dynamodb_requests": 1})


def expiry() -> int:
    """When a record written now is to be forgotten, in seconds since 1970, as DynamoDB's time to live has it."""
    return int(time.time()) + _RECORD_DAYS * 86400


class RunTable:
    """The records of one run.

    Parameters
    ----------
    table
        Name of the table: partition key ``run_id``, sort key ``item``.
    """

    def __init__(self, table: str, run_id: str) -> None:
        self._table = table
        self._run_id = run_id
        self._client = client("dynamodb")

    def put(self, item: str, record: BaseModel | dict[str, Any]) -> None:
        """Write a record, replacing an older one."""
        self._client.put_item(TableName=self._table, Item=self._item(item, record), ReturnConsumedCapacity="TOTAL")

    def put_once(self, item: str, record: BaseModel | dict[str, Any]) -> bool:
        """Write a record unless there is one; True if it is this one that is stored.

        A write whose answer was lost is sent again by the client and then finds itself: that is no other's.
        """
        try:
            self._client.put_item(
                TableName=self._table,
                Item=self._item(item, record),
                ConditionExpression="attribute_not_exists(run_id)",
                ReturnConsumedCapacity="TOTAL",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                # It costs what it would have written, and its answer does not say so.
                usage.add(dynamodb_write_units=self.write_units(item, record))
                stored = self.get(item)
                return stored is not None and stored == json.loads(_json(record))
            raise
        return True

    def get(self, item: str) -> dict[str, Any] | None:
        """Read a record, strongly consistent; None if there is none."""
        answer = self._client.get_item(
            TableName=self._table, Key=self._key(item), ConsistentRead=True, ReturnConsumedCapacity="TOTAL"
        )
        return _record_of(answer["Item"]) if "Item" in answer else None

    def run(self) -> dict[str, Any]:
        """What Resolve has written: when and by which execution the run was started, and what it may use."""
        run = self.get(Items.RUN)
        assert run is not None
        return run

    def outcomes(self, lap: int, attempt: int) -> dict[int, Outcome]:
        """The outcomes of an attempt by rank; those that Step Functions wrote for dead workers included."""
        return {outcome.rank: outcome for outcome in self._outcomes(Items.outcomes(lap, attempt))}

    def newest_start(self) -> tuple[int, int]:
        """The latest lap and attempt that has been given a start."""
        starts = (item["item"]["S"].split("#")[1:] for item in self._query("start#"))
        return max((int(lap), int(attempt)) for lap, attempt in starts)

    def all_outcomes(self) -> list[Outcome]:
        """Every outcome of the run."""
        return list(self._outcomes("outcome#"))

    def spent(self, prefix: str = Items.SPENT) -> list[Spent]:
        """What the run's invocations have used, or those of one attempt (:meth:`Items.spent`)."""
        return [Spent.model_validate(_record_of(item)) for item in self._query(prefix)]

    def write_units(self, item: str, record: BaseModel | dict[str, Any]) -> int:
        """Write units that storing a record costs: one for every KB of its attributes' names and values begun."""
        stored = self._item(item, record)
        texts = sum(len(value["S"].encode()) for value in stored.values() if "S" in value)
        return -(-(sum(map(len, stored)) + texts + _EXPIRY_BYTES) // DYNAMODB_WRITE_UNIT_BYTES)

    def claimed_ranks(self, lap: int, attempt: int) -> set[int]:
        """Ranks whose worker has started."""
        return {int(item["item"]["S"].rsplit("#", 1)[1]) for item in self._query(Items.claims(lap, attempt))}

    def _outcomes(self, prefix: str) -> Iterator[Outcome]:
        for item in self._query(prefix):
            if "record" in item:
                yield Outcome.model_validate(_record_of(item))
            else:
                lap, attempt, rank = map(int, item["item"]["S"].split("#")[1:])
                error, cause = item["error"]["S"], explained(item["cause"]["S"])
                yield Outcome(lap=lap, attempt=attempt, rank=rank, status="failed", step=0, error=error, cause=cause)

    def _query(self, prefix: str) -> Iterator[dict[str, Any]]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="run_id = :run AND begins_with(#item, :prefix)",
            ExpressionAttributeNames={"#item": "item"},
            ExpressionAttributeValues={":run": {"S": self._run_id}, ":prefix": {"S": prefix}},
            ConsistentRead=True,
            ReturnConsumedCapacity="TOTAL",
        )
        for page in pages:
            yield from page["Items"]

    def _key(self, item: str) -> dict[str, Any]:
        return {"run_id": {"S": self._run_id}, "item": {"S": item}}

    def _item(self, item: str, record: BaseModel | dict[str, Any]) -> dict[str, Any]:
        text = _json(record)
        return {**self._key(item), "record": {"S": text}, "expires_at": {"N": str(expiry())}}


class Artifacts:
    """The artifacts bucket."""

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket

    def uri(self, key: str) -> str:
        """``s3://bucket/key``."""
        return f"s3://{self.bucket}/{key}"

    def put(self, key: str, body: bytes | str | BaseModel) -> str:
        """Write an object; return S3's tag of its content."""
        data = body.model_dump_json(indent=1) if isinstance(body, BaseModel) else body
        etag: str = client("s3").put_object(Bucket=self.bucket, Key=key, Body=data)["ETag"]
        return etag

    def copy(self, key: str, uri: str, etag: str) -> str:
        """Copy an object of another place within S3; return the tag of the copy.

        Raises
        ------
        JobError
            When it is gone or no longer the one that ``etag`` says.
        """
        bucket, source = split_uri(uri)
        with _unchanged(uri):
            copied: str = client("s3").copy_object(
                Bucket=self.bucket,
                Key=key,
                CopySource={"Bucket": bucket, "Key": source},
                CopySourceIfMatch=etag,
                # Copying tags would need more permissions.
                TaggingDirective="REPLACE",
                MetadataDirective="REPLACE",
            )["CopyObjectResult"]["ETag"]
        return copied

    def put_json(self, key: str, value: Any) -> None:
        """Write a value as JSON."""
        self.put(key, json.dumps(without_nan(value), indent=1))

    def get(self, key: str) -> bytes:
        """Read an object."""
        return _read(Bucket=self.bucket, Key=key)

    def create(self, key: str) -> ObjectWriter:
        """Write an object piece by piece, within a ``with`` block."""
        return ObjectWriter(client("s3"), self.bucket, key)

    def open(self, key: str) -> BinaryIO:
        """Read an object piece by piece."""
        return open_object(client("s3"), self.bucket, key)

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        found = client("s3").list_objects_v2(Bucket=self.bucket, Prefix=key, MaxKeys=1)
        return any(entry["Key"] == key for entry in found.get("Contents", []))

    def checkpoints(self, run_id: str) -> dict[Checkpoint, set[str]]:
        """The checkpoints that exist, each with the names of its parts."""
        keys = Keys(run_id)
        found: dict[Checkpoint, set[str]] = {}
        for page in client("s3").get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=keys.checkpoints):
            for entry in page.get("Contents", []):
                step, origin, part = PurePosixPath(entry["Key"].removeprefix(keys.checkpoints)).parts
                lap, attempt = origin.split("-")
                checkpoint = Checkpoint(step=int(step), lap=int(lap), attempt=int(attempt))
                found.setdefault(checkpoint, set()).add(part.removesuffix(".npz"))
        return found

    def delete_checkpoints(self, run_id: str, unwanted: Mapping[Checkpoint, Iterable[str]]) -> None:
        """Delete parts of checkpoints; one that is not there any more is no error."""
        keys = [Keys(run_id).checkpoint_part(at, part) for at, parts in unwanted.items() for part in parts]
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            batch = [{"Key": key} for key in keys[start : start + _DELETED_AT_ONCE]]
            client("s3").delete_objects(Bucket=self.bucket, Delete={"Objects": batch, "Quiet": True})


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of an ``s3://`` URI."""
    parts = urlsplit(uri, allow_fragments=False)
    return parts.netloc, parts.path.removeprefix("/")


@contextmanager
def opened(uri: str, etag: str) -> Iterator[BinaryIO]:
    """An object that must not have changed since Prepare, read piece by piece.

    Raises
    ------
    JobError
        When it has changed, or is gone.
    """
    with _unchanged(uri), open_object(client("s3"), *split_uri(uri), etag) as source:
        yield source


@contextmanager
def _unchanged(uri: str) -> Iterator[None]:
    """Say what it means that S3 has not what Prepare saw."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] in ("PreconditionFailed", "412"):
            raise JobError(
                f"{uri} has changed during the run: start a new one, or give each version its own key."
            ) from None
        if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchBucket", "404"):
            raise JobError(f"{uri} has vanished during the run: keep model and data until it has ended.") from None
        raise


def _read(**which: str) -> bytes:
    """Read an object; botocore retries requests, but not a connection that breaks while the body is read."""

    def once() -> bytes:
        data: bytes = client("s3").get_object(**which)["Body"].read()
        return data

    return retried(once, BROKEN_BODY, Usage())


def explained(cause: str) -> str:
    """The sentence in a cause that Step Functions reports: of a function's error, its message."""
    try:
        details = json.loads(cause)
    except ValueError:
        return cause
    if isinstance(details, dict) and details.get("errorMessage"):
        return str(details["errorMessage"])
    return cause


def without_nan(value: Any) -> Any:
    """The value with None for every number that JSON does not know: NaN and the infinities."""
    if isinstance(value, dict):
        return {key: without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _json(record: BaseModel | dict[str, Any]) -> str:
    return record.model_dump_json() if isinstance(record, BaseModel) else json.dumps(without_nan(record))


def _record_of(item: dict[str, Any]) -> dict[str, Any]:
    if "record" not in item:
        # Of a dead worker: Step Functions writes attributes, since it cannot write JSON.
        return {name: item[name]["S"] for name in ("error", "cause")}
    record: dict[str, Any] = json.loads(item["record"]["S"])
    return record
