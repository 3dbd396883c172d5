"""Servers that tests start for themselves and stop again: memcached and the AWS emulator."""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

READY_WITHIN_SECONDS = 60
STOPPED_WITHIN_SECONDS = 10

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}
"""The emulator's root user."""


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port of the host that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


@contextmanager
def memcached(host: str, port: int, item_mb: int = 1, memory_mb: int = 512) -> Iterator[str]:
    """Run a memcached and yield its ``host:port``.

    Parameters
    ----------
    item_mb
        Largest item in MiB; 1 is memcached's own default.
    memory_mb
        What it may store in MiB before it evicts.
    """
    command = ["memcached", "-l", host, "-p", str(port), "-U", "0", "-I", f"{item_mb}m", "-m", str(memory_mb)]
    if os.geteuid() == 0:
        command += ["-u", "nobody"]
    with _running(command, os.environ, lambda: _answers_tcp(host, port)):
        yield f"{host}:{port}"


@contextmanager
def ministack(port: int, auth: bool = True, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run the AWS emulator on the loopback interface and yield its endpoint.

    Parameters
    ----------
    auth
        Whether IAM is enforced.
    environment
        Further settings of the emulator.
    """
    endpoint = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="ministack-") as state:
        settings = {
            "GATEWAY_PORT": str(port),
            "BIND_HOST": "127.0.0.1",
            "AUTH": str(auth).lower(),
            "LOG_LEVEL": "WARNING",
            "STATE_DIR": state,
        }
        command = [sys.executable, "-m", "ministack"]
        with _running(command, {**os.environ, **settings, **(environment or {})}, lambda: _answers_http(endpoint)):
            yield endpoint


@contextmanager
def _running(command: Sequence[str], environment: Mapping[str, str], ready: Callable[[], bool]) -> Iterator[None]:
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            deadline = time.monotonic() + READY_WITHIN_SECONDS
            while not ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    output.seek(0)
                    raise RuntimeError(f"{command[0]} did not start: {output.read().decode(errors='replace')[-2000:]}")
                time.sleep(0.02)
            yield
        finally:
            process.terminate()
            try:
                process.wait(STOPPED_WITHIN_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers_tcp(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def _answers_http(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(f"{endpoint}/_ministack/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
