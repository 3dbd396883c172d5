"""Counting from the emulator's side: a proxy between the functions and the emulator, and its own books."""

import http.client
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
from pymemcache.client.base import Client

HOST = "127.0.0.1"
_HOP_BY_HOP = ("connection", "transfer-encoding", "keep-alive", "content-length")


@dataclass
class Requests:
    """Requests that functions made, by service, bucket or table, and kind; and what they moved or consumed."""

    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, service: str, where: str, kind: str, amount: float = 1) -> None:
        with self.lock:
            self.counts[service, where, kind] += amount

    def of(self, service: str, where: str, kind: str) -> float:
        return self.counts[service, where, kind]

    def clear(self) -> None:
        with self.lock:
            self.counts.clear()


@contextmanager
def proxy(emulator_port: int) -> Iterator[tuple[str, Requests]]:
    """Pass everything on to the emulator, and count; yields the URL and the counts."""
    requests = Requests()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            upstream = http.client.HTTPConnection(HOST, emulator_port, timeout=300)
            try:
                upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    if name.lower() not in ("expect", "connection"):
                        upstream.putheader(name, value)
                upstream.endheaders(body)
                answer = upstream.getresponse()
                content = answer.read()
            finally:
                upstream.close()
            _count(requests, self.command, self.path, dict(self.headers.items()), body, content)
            self.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
            self.send_header("Content-Length", length or "0")
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_address[1]}", requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _count(requests: Requests, method: str, path: str, headers: dict[str, str], body: bytes, content: bytes) -> None:
    credential = headers.get("Authorization", "").partition("Credential=")[2].partition(",")[0]
    service = credential.split("/")[3] if credential.count("/") == 4 else ""
    if service == "s3":
        bucket = path.lstrip("/").partition("/")[0].partition("?")[0]
        if method == "POST":
            method = "DELETE" if path.endswith("?delete") else "PUT"
        requests.add("s3", bucket, "LIST" if method == "GET" and "list-type=2" in path else method)
    elif service == "dynamodb":
        target = next(value for name, value in headers.items() if name.lower() == "x-amz-target")
        operation = target.rpartition(".")[2]
        asked, answered = json.loads(body), json.loads(content)
        tables = list(asked["RequestItems"]) if operation == "BatchGetItem" else [asked["TableName"]]
        requests.add("dynamodb", tables[0], operation)
        requests.add(
            "dynamodb", tables[0], "write" if operation == "PutItem" else "read", _units(operation, asked, answered)
        )


def _units(operation: str, asked: dict[str, Any], answered: dict[str, Any]) -> int:
    """Consumed units by DynamoDB's rules: a KB written, 4 KB read, rounded up, of an item or of a query's page."""
    if operation == "PutItem":
        return -(-_item_bytes(asked["Item"]) // 1024)
    if operation == "GetItem":
        return max(1, -(-_item_bytes(answered.get("Item", {})) // 4096))
    if operation == "BatchGetItem":
        ((table, wanted),) = asked["RequestItems"].items()
        items = answered["Responses"].get(table, [])
        left_out = answered.get("UnprocessedKeys", {}).get(table, {}).get("Keys", [])
        missing = len(wanted["Keys"]) - len(left_out) - len(items)
        return missing + sum(-(-_item_bytes(item) // 4096) for item in items)
    if operation == "Query":
        return max(1, -(-sum(map(_item_bytes, answered["Items"])) // 4096))
    raise AssertionError(f"{operation} is not expected of this test's jobs")


def _item_bytes(item: dict[str, dict[str, str]]) -> int:
    return sum(len(name) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: dict[str, str]) -> int:
    ((kind, content),) = value.items()
    if kind == "S":
        return len(content.encode())
    if kind == "B":
        return len(content) * 3 // 4 - content.count("=")
    assert kind == "N"
    return -(-len(content) // 2) + 1


def memcached_commands(host: str) -> Counter[str]:
    """How many gets and sets (adds are among them) the server has counted."""
    client = Client((host, 11211))
    stats = client.stats()
    client.close()
    return Counter({name: int(stats[f"cmd_{name}".encode()]) for name in ("get", "set")})


def invocations(prefix: str) -> Counter[str]:
    """Log group's name without the stack's → invocations that the emulator has reported there."""
    logs = boto3.client("logs")
    found: Counter[str] = Counter()
    for page in logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix):
        for group in page["logGroups"]:
            name = group["logGroupName"]
            pages = logs.get_paginator("filter_log_events").paginate(logGroupName=name)
            lines = [event["message"] for page in pages for event in page["events"]]
            found[name.removeprefix(prefix)] = sum(line.startswith("REPORT RequestId") for line in lines)
    return found


def billed_transitions(receipt: dict[str, Any]) -> float:
    """The receipt's own count."""
    (line,) = [line for line in receipt["lines"] if line["unit"] == "transitions"]
    quantity: float = line["quantity"]
    return quantity


def transitions(execution_arn: str) -> int:
    """States entered, and child executions started, by an execution and its children."""
    client = boto3.client("stepfunctions")
    children = [
        child["executionArn"]
        for run in client.list_map_runs(executionArn=execution_arn)["mapRuns"]
        for child in client.list_executions(mapRunArn=run["mapRunArn"])["executions"]
    ]
    # The emulator notes no entered states of children; all of theirs are tasks.
    tasks = sum(_events(client, child, "TaskScheduled") for child in children)
    return _events(client, execution_arn, "StateEntered") + len(children) + tasks


def _events(client: Any, arn: str, ending: str) -> int:
    pages = client.get_paginator("get_execution_history").paginate(executionArn=arn)
    return sum(event["type"].endswith(ending) for page in pages for event in page["events"])
