"""DynamoDB as a channel: a part is one or more items, each under a partition key of its own."""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from botocore.exceptions import ClientError
from typing_extensions import Buffer

from paytrain.channels.assembly import Assembly
from paytrain.channels.aws import count_retries, error_code
from paytrain.channels.base import Content, Part, Usage
from paytrain.channels.chunks import checked, chunk_keys, parts_of, split
from paytrain.channels.constants import (
    DYNAMODB_BATCH_BYTES,
    DYNAMODB_BATCH_ITEMS,
    DYNAMODB_ITEM_OVERHEAD_BYTES,
    DYNAMODB_READ_UNIT_BYTES,
    DYNAMODB_WRITE_UNIT_BYTES,
    EXPIRY_SECONDS,
    POLL_SECONDS,
)
from paytrain.channels.retry import pauses_seconds
from paytrain.errors import ChannelError

Argument = TypeVar("Argument")
Result = TypeVar("Result")

CONCURRENT_REQUESTS = 8
"""Of one channel, besides those of its callers: what a large object's items gain by travelling side by side."""


class DynamoDBChannel:
    """Items of a table with the partition key ``key``, written conditionally so that the first content stays.

    Parameters
    ----------
    client
        boto3's low-level DynamoDB client.
    table
        Name of the table; its time-to-live attribute is ``expires_at``.
    item_bytes
        Largest item with its key and attribute names; at most 400 KB.
    """

    poll_seconds = POLL_SECONDS["dynamodb"]
    hedges = False

    def __init__(self, client: Any, table: str, item_bytes: int) -> None:
        self.usage = Usage()
        self._client = client
        self._table = table
        self._chunk_bytes = item_bytes - DYNAMODB_ITEM_OVERHEAD_BYTES
        self._batch_items = min(DYNAMODB_BATCH_ITEMS, max(1, DYNAMODB_BATCH_BYTES // item_bytes))
        self._pool = ThreadPoolExecutor(CONCURRENT_REQUESTS, thread_name_prefix="dynamodb")

    def put(self, key: str, parts: Sequence[Content]) -> None:
        """Store the parts' items, the first of every part last: its presence says that the part is complete."""
        heads, rest = [], []
        for part, content in zip(parts_of(parts), parts, strict=True):
            keys = chunk_keys(key, part, self._chunk_bytes)
            head, *others = zip(keys, split(content, self._chunk_bytes), strict=True)
            heads.append(head)
            rest.extend(others)
        for items in (rest, heads):
            self._put_items(items)

    def get(self, key: str, part: Part) -> Buffer | None:
        """Read a part: its first item, then the others if it has several.

        Raises
        ------
        ObjectLost
            When an item has been deleted or has expired.
        FrameError
            When the items are not as long as the part says.
        """
        head_key, *other_keys = chunk_keys(key, part, self._chunk_bytes)
        answer = self._client.get_item(TableName=self._table, Key={"key": {"S": head_key}}, ConsistentRead=True)
        count_retries(self.usage, answer)
        if "Item" not in answer:
            self.usage.add(dynamodb_requests=1, dynamodb_read_units=1)
            return None
        head: bytes = answer["Item"]["b"]["B"]
        self.usage.add(dynamodb_requests=1, dynamodb_read_units=_read_units(head_key, head), bytes_down=len(head))
        if not other_keys:
            return checked(key, part, head, len(head))
        assembly = Assembly(key, part, self._chunk_bytes)
        assembly.add(0, head)

        def fetch(start: int) -> None:
            keys = other_keys[start : start + self._batch_items]
            found = self._get_batch(keys)
            for chunk, each in enumerate(keys, start + 1):
                if (content := found.get(each)) is not None:
                    assembly.add(chunk, content)

        for _ in self._concurrently(fetch, range(0, len(other_keys), self._batch_items)):
            pass
        return assembly.whole()

    def delete(self, key: str, parts: Sequence[Part]) -> None:
        """Do nothing: items expire free of charge, while a delete is billed like a write."""

    def _put_items(self, items: Sequence[tuple[str, Sequence[memoryview]]]) -> None:
        for _ in self._concurrently(self._put_item, items):
            pass

    def _put_item(self, item: tuple[str, Sequence[memoryview]]) -> None:
        key, content = item[0], b"".join(item[1])
        units = -(-item_size(key, len(content)) // DYNAMODB_WRITE_UNIT_BYTES)
        self.usage.add(dynamodb_requests=1, dynamodb_write_units=units, bytes_up=len(content))
        expires_at = str(int(time.time()) + EXPIRY_SECONDS)
        try:
            answer = self._client.put_item(
                TableName=self._table,
                Item={"key": {"S": key}, "b": {"B": content}, "expires_at": {"N": expires_at}},
                ConditionExpression="attribute_not_exists(#key)",
                ExpressionAttributeNames={"#key": "key"},
            )
        except ClientError as error:
            count_retries(self.usage, error.response)
            if error_code(error) != "ConditionalCheckFailedException":
                raise
        else:
            count_retries(self.usage, answer)

    def _get_batch(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Contents of the items that exist; keys that the service left out are asked for again."""
        found: dict[str, bytes] = {}
        request: dict[str, Any] = {"Keys": [{"key": {"S": key}} for key in keys], "ConsistentRead": True}
        for pause in (*pauses_seconds(), None):
            answer = self._client.batch_get_item(RequestItems={self._table: request})
            count_retries(self.usage, answer)
            items = {item["key"]["S"]: item["b"]["B"] for item in answer["Responses"].get(self._table, ())}
            left_out = answer.get("UnprocessedKeys", {}).get(self._table)
            missing = len(request["Keys"]) - len(items) - (len(left_out["Keys"]) if left_out else 0)
            self.usage.add(
                dynamodb_requests=1,
                dynamodb_read_units=missing + sum(_read_units(*item) for item in items.items()),
                bytes_down=sum(map(len, items.values())),
            )
            found.update(items)
            if not left_out:
                return found
            request = left_out
            if pause is not None:
                self.usage.add(retries=1)
                time.sleep(pause)
        raise ChannelError(f"DynamoDB keeps leaving items of the table {self._table} unread: its reads are throttled.")

    def _concurrently(self, call: Callable[[Argument], Result], arguments: Sequence[Argument]) -> Iterable[Result]:
        return map(call, arguments) if len(arguments) < 2 else self._pool.map(call, arguments)


def item_size(key: str, content_bytes: int) -> int:
    """An item's size in bytes as DynamoDB counts it: names and values; ten digits take six bytes."""
    return len("key") + len(key) + len("b") + content_bytes + len("expires_at") + 6


def _read_units(key: str, content: bytes) -> int:
    return -(-item_size(key, len(content)) // DYNAMODB_READ_UNIT_BYTES)
