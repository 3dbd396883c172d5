"""The Lambda Runtime API as one sandbox sees it: it asks for the next event and posts what became of it.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import json
import queue
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_PREFIX = "/2018-06-01/runtime/"
_ARN = "arn:aws:lambda:us-east-1:000000000000:function:worker:1"


@dataclass(frozen=True)
class Event:
    """What Lambda hands to a sandbox.

    Attributes
    ----------
    deadline
        When the invocation would be killed, in seconds since the epoch.
    """

    payload: dict[str, Any]
    deadline: float
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass(frozen=True)
class Answer:
    """What a sandbox posts.

    Attributes
    ----------
    request_id
        Of the event; empty for an error before the first one.
    error
        Whether the invocation, or the start, ended with an exception.
    body
        The handler's result, or the error with ``errorType`` and ``errorMessage``.
    at
        When it came, in seconds of the monotonic clock.
    """

    request_id: str
    error: bool
    body: Any
    at: float


class RuntimeApi:
    """Serves one sandbox; one event at a time, as Lambda does."""

    def __init__(self) -> None:
        self._events: queue.Queue[Event] = queue.Queue()
        self._answers: queue.Queue[Answer] = queue.Queue()
        self._closed = threading.Event()
        self.asked = threading.Event()
        self.first_asked_at = 0.0

    @property
    def address(self) -> str:
        """``host:port``, for AWS_LAMBDA_RUNTIME_API."""
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    @contextmanager
    def serving(self) -> Iterator["RuntimeApi"]:
        """Listen on a free port of the loopback interface."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._closed.set()
            self._server.shutdown()
            self._server.server_close()

    def send(self, payload: dict[str, Any], timeout_seconds: float) -> str:
        """Let the sandbox have an event, and return its request id."""
        event = Event(payload, time.time() + timeout_seconds)
        self._events.put(event)
        return event.request_id

    def answer(self, timeout_seconds: float) -> Answer:
        """Wait for what the sandbox posts next.

        Raises
        ------
        TimeoutError
            When nothing comes in time.
        """
        try:
            return self._answers.get(timeout=timeout_seconds)
        except queue.Empty:
            raise TimeoutError(f"The sandbox has posted nothing for {timeout_seconds:.0f} s.") from None

    def next_event(self) -> Event | None:
        """Block until there is an event; None when the server ends."""
        if not self.asked.is_set():
            self.first_asked_at = time.monotonic()
            self.asked.set()
        while not self._closed.is_set():
            try:
                return self._events.get(timeout=0.1)
            except queue.Empty:
                continue
        return None

    def posted(self, path: str, body: Any) -> bool:
        """Take an answer; False when the path is none of the API's."""
        match path.split("/"):
            case ["invocation", request_id, "response" | "error" as kind]:
                self._answers.put(Answer(request_id, kind == "error", body, time.monotonic()))
            case ["init", "error"]:
                self._answers.put(Answer("", True, body, time.monotonic()))
            case _:
                return False
        return True


def _handler_of(api: RuntimeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path != f"{_PREFIX}invocation/next":
                self._reply(HTTPStatus.NOT_FOUND, {}, b"")
                return
            event = api.next_event()
            if event is None:
                # The sandbox is gone.
                self.close_connection = True
                return
            headers = {
                "Lambda-Runtime-Aws-Request-Id": event.request_id,
                "Lambda-Runtime-Deadline-Ms": str(int(event.deadline * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn": _ARN,
                "Lambda-Runtime-Trace-Id": "Root=1-00000000-000000000000000000000000;Sampled=0",
            }
            self._reply(HTTPStatus.OK, headers, json.dumps(event.payload).encode())

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known = self.path.startswith(_PREFIX) and api.posted(self.path.removeprefix(_PREFIX), body)
            self._reply(HTTPStatus.ACCEPTED if known else HTTPStatus.NOT_FOUND, {}, b"{}")

        def log_message(self, *_: Any) -> None:
            """Say nothing: the tests do."""

        def _reply(self, status: HTTPStatus, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
