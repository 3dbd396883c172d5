"""The two servers of a twin: MiniStack, which emulates AWS, and a real memcached."""

import http.client
import os
import shutil
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from local import processes
from local.terminal import LocalError, log_tail

HOST = "127.0.0.1"
CACHE_PORT = 11211
"""The emulator names no other port as a Memcached cluster's endpoint; twins differ by the cache's host."""

_START_SECONDS = 60
_ANSWER_SECONDS = 5
_CACHE_MB = 3164
"""As a cache.t4g.medium: two rounds of 4 workers and 25 million parameters are 800 MB. Taken when it is needed."""
_CACHE_ITEM_MB = 8
_WARM_SECONDS = 900


def start_cache(folder: Path, host: str) -> None:
    """Start memcached and wait until it answers.

    Raises
    ------
    LocalError
        When it is not installed, its port is taken, or it does not start.
    """
    memcached = shutil.which("memcached")
    if memcached is None:
        raise LocalError("memcached is not installed: run `make setup`.")
    _refuse_taken(host, CACHE_PORT, "set TWIN_CACHE_HOST to another loopback address, such as 127.0.0.2")
    command = [memcached, "-l", host, "-p", str(CACHE_PORT), "-m", str(_CACHE_MB), "-I", f"{_CACHE_ITEM_MB}m"]
    if os.getuid() == 0:
        command += ["-u", "root"]
    _start(command, folder, dict(os.environ), "memcached", lambda: cache_answers(host))


def start_emulator(folder: Path, port: int, cache_host: str, environment: Mapping[str, str]) -> None:
    """Start MiniStack, IAM enforced, and wait until it answers.

    Parameters
    ----------
    folder
        Of the twin. Functions' processes keep their files below it.
    port
        To listen on.
    cache_host
        What Memcached clusters are said to run on.
    environment
        What MiniStack and the functions inherit; without AWS settings, which functions would see.

    Raises
    ------
    LocalError
        When the port is taken, or it does not start.
    """
    _refuse_taken(HOST, port, "set TWIN_PORT to a free one")
    settings = {
        "AUTH": "true",
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "REDIS_HOST": cache_host,
        "LAMBDA_WARM_TTL_SECONDS": str(_WARM_SECONDS),
        "LOG_LEVEL": "WARNING",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "TMPDIR": str(folder / "tmp"),
    }
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "ministack"]
    _start(command, folder, {**environment, **settings}, "ministack", lambda: emulator_answers(port))


def emulator_answers(port: int) -> bool:
    """Whether a MiniStack on this port is ready."""
    connection = http.client.HTTPConnection(HOST, port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", "/_ministack/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def cache_answers(host: str) -> bool:
    """Whether a memcached on this host is ready."""
    try:
        with socket.create_connection((host, CACHE_PORT), timeout=_ANSWER_SECONDS) as connection:
            connection.sendall(b"version\r\n")
            return connection.recv(64).startswith(b"VERSION")
    except OSError:
        return False


def _refuse_taken(host: str, port: int, advice: str) -> None:
    with socket.socket() as probe:
        if probe.connect_ex((host, port)) == 0:
            raise LocalError(f"{host}:{port} is taken by another program: stop that, or {advice}.")


def _start(
    command: list[str], folder: Path, environment: Mapping[str, str], name: str, answers: Callable[[], bool]
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{name}.log"
    process = processes.start(command, folder, environment, log)
    if not processes.wait_until(answers, lambda: process.poll() is None, _START_SECONDS):
        raise LocalError(f"{name} did not start:\n{log_tail(log)}")
