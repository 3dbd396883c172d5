"""The baselines on servers, each rank in a process of its own, with the clients that the peers use.

boto3's and pymemcache's default clients: what is given to pymemcache is there so that a refused value or a dead server
is told.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import numpy as np
from numpy.typing import NDArray
from pymemcache.client.base import Client

from bench.baselines.algorithms import ALGORITHMS
from bench.baselines.operations import (
    MERGED,
    TMP,
    Compute,
    Delete,
    Get,
    GetMany,
    List,
    Operation,
    Put,
    Scan,
    Sleep,
    Steps,
    Task,
)

PATIENCE_SECONDS = 600
"""An exchange that takes longer has lost a rank."""

_CONNECT_SECONDS, _ANSWER_SECONDS = 3, 60

Perform = Callable[[Operation], Any]
"""Does one operation and returns its answer."""


def open_channel(channel: str, name: str, cache_endpoint: str = "") -> Perform:
    """A client.

    Parameters
    ----------
    name
        What the buckets' and tables' names begin with, or the keys on Memcached.
    cache_endpoint
        ``host:port`` of memcached. The path to AWS comes from the environment.
    """
    return {"s3": _s3, "dynamodb": _dynamodb, "memcached": _memcached}[channel](name, cache_endpoint)


def create(channel: str, name: str) -> None:
    """Make the buckets or tables that the ranks will use."""
    for folder in (TMP, MERGED):
        if channel == "s3":
            boto3.client("s3").create_bucket(Bucket=f"{name}-{folder}")
        if channel == "dynamodb":
            boto3.client("dynamodb").create_table(
                TableName=f"{name}-{folder}",
                AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
                KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
                BillingMode="PAY_PER_REQUEST",
            )


def exchange(algorithm: str, perform: Perform, task: Task) -> NDArray[np.float32]:
    """Take part in one exchange; returns the mean over the ranks.

    Raises
    ------
    TimeoutError
        When it does not end.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    *others, last = ALGORITHMS[algorithm](task)
    with ThreadPoolExecutor(max(1, len(others))) as pool:
        running = [pool.submit(_run, thread, perform, deadline) for thread in others]
        mean: NDArray[np.float32] = _run(last, perform, deadline)
        for each in running:
            each.result()
    return mean


def _run(steps: Steps, perform: Perform, deadline: float) -> Any:
    answer: Any = None
    try:
        while True:
            operation = steps.send(answer)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{operation} after {PATIENCE_SECONDS} s of an exchange that has not ended.")
            if isinstance(operation, Sleep):
                time.sleep(operation.seconds)
                answer = None
            elif not isinstance(operation, Compute):
                answer = perform(operation)
    except StopIteration as stop:
        return stop.value


def _s3(name: str, cache_endpoint: str) -> Perform:
    client = boto3.client("s3")

    def perform(operation: Operation) -> Any:
        bucket = f"{name}-{operation.folder}"
        match operation:
            case Put(_, key, body):
                client.put_object(Bucket=bucket, Key=key, Body=body)
            case Get(_, key):
                try:
                    return client.get_object(Bucket=bucket, Key=key)["Body"].read()
                except client.exceptions.NoSuchKey:
                    return None
            case List(_, prefix):
                pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
                return [each["Key"] for page in pages for each in page.get("Contents", [])]
            case Delete(_, [key]):
                client.delete_object(Bucket=bucket, Key=key)
            case Delete(_, keys):
                client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})
            case _:
                raise TypeError(f"S3 has no {type(operation).__name__}.")
        return None

    return perform


def _dynamodb(name: str, cache_endpoint: str) -> Perform:
    client = boto3.client("dynamodb")

    def perform(operation: Operation) -> Any:
        table = f"{name}-{operation.folder}"
        match operation:
            case Put(_, key, body):
                client.put_item(TableName=table, Item={"key": {"S": key}, "body": {"B": body}})
            case Get(_, key):
                item = client.get_item(TableName=table, Key={"key": {"S": key}}).get("Item")
                return item["body"]["B"] if item else None
            case Scan(_):
                pages = client.get_paginator("scan").paginate(TableName=table)
                return {item["key"]["S"]: item["body"]["B"] for page in pages for item in page["Items"]}
            case Delete(_, keys):
                for key in keys:
                    client.delete_item(TableName=table, Key={"key": {"S": key}})
            case _:
                raise TypeError(f"DynamoDB has no {type(operation).__name__}.")
        return None

    return perform


def _memcached(name: str, cache_endpoint: str) -> Perform:
    client = Client(cache_endpoint, default_noreply=False, connect_timeout=_CONNECT_SECONDS, timeout=_ANSWER_SECONDS)

    def perform(operation: Operation) -> Any:
        before = f"{name}/{operation.folder}/"
        match operation:
            case Put(_, key, body):
                client.set(before + key, body)
            case Get(_, key):
                return client.get(before + key)
            case GetMany(_, keys):
                found = client.get_many([before + key for key in keys])
                return {key.removeprefix(before): body for key, body in found.items()}
            case Delete(_, keys):
                client.delete_many([before + key for key in keys])
            case _:
                raise TypeError(f"Memcached has no {type(operation).__name__}.")
        return None

    return perform
