"""A run's memory on AWS: records in the run table, objects in S3. Thin calls; what they mean is said by the callers."""

import functools
import json
import time
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from pydantic import BaseModel

from paytrain.errors import JobError
from paytrain.run import Checkpoint, Items, Keys, Outcome

_RECORD_DAYS = 30
_CONFIG = Config(
    max_pool_connections=16,
    connect_timeout=5,
    read_timeout=60,
    retries={"mode": "standard", "total_max_attempts": 6},
    tcp_keepalive=True,
)


@functools.cache
def client(service: str) -> Any:
    """The process' one client of a service."""
    return boto3.client(service, config=_CONFIG)


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
        self._client.put_item(TableName=self._table, Item=self._item(item, record))

    def put_once(self, item: str, record: BaseModel | dict[str, Any]) -> bool:
        """Write a record unless there is one; True if it is this one that is stored.

        A write whose answer was lost is sent again by the client and then finds itself: that is no other's.
        """
        try:
            self._client.put_item(
                TableName=self._table,
                Item=self._item(item, record),
                ConditionExpression="attribute_not_exists(run_id)",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                stored = self.get(item)
                return stored is not None and stored == json.loads(_json(record))
            raise
        return True

    def get(self, item: str) -> dict[str, Any] | None:
        """Read a record, strongly consistent; None if there is none."""
        answer = self._client.get_item(TableName=self._table, Key=self._key(item), ConsistentRead=True)
        return _record_of(answer["Item"]) if "Item" in answer else None

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
        )
        for page in pages:
            yield from page["Items"]

    def _key(self, item: str) -> dict[str, Any]:
        return {"run_id": {"S": self._run_id}, "item": {"S": item}}

    def _item(self, item: str, record: BaseModel | dict[str, Any]) -> dict[str, Any]:
        text = _json(record)
        expires = int(time.time()) + _RECORD_DAYS * 86400
        return {**self._key(item), "record": {"S": text}, "expires_at": {"N": str(expires)}}


class Artifacts:
    """The artifacts bucket."""

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket

    def put(self, key: str, body: bytes | str | BaseModel) -> None:
        """Write an object."""
        data = body.model_dump_json(indent=1) if isinstance(body, BaseModel) else body
        client("s3").put_object(Bucket=self.bucket, Key=key, Body=data)

    def put_json(self, key: str, value: Any) -> None:
        """Write a value as JSON."""
        self.put(key, json.dumps(value, indent=1))

    def get(self, key: str) -> bytes:
        """Read an object."""
        data: bytes = client("s3").get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return data

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


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of an ``s3://`` URI."""
    parts = urlsplit(uri, allow_fragments=False)
    return parts.netloc, parts.path.removeprefix("/")


def read_source(uri: str, etag: str) -> bytes:
    """Read an object that must not have changed since Prepare.

    Raises
    ------
    JobError
        When it has.
    """
    bucket, key = split_uri(uri)
    try:
        data: bytes = client("s3").get_object(Bucket=bucket, Key=key, IfMatch=etag)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] in ("PreconditionFailed", "412"):
            raise JobError(
                f"{uri} has changed during the run: start a new one, or give each version its own key."
            ) from None
        raise
    return data


def explained(cause: str) -> str:
    """The sentence in a cause that Step Functions reports: of a function's error, its message."""
    try:
        details = json.loads(cause)
    except ValueError:
        return cause
    if isinstance(details, dict) and details.get("errorMessage"):
        return str(details["errorMessage"])
    return cause


def _json(record: BaseModel | dict[str, Any]) -> str:
    return record.model_dump_json() if isinstance(record, BaseModel) else json.dumps(record)


def _record_of(item: dict[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(item["record"]["S"])
    return record
