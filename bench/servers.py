"""Servers for the measured exchanges: an emulator of S3 and DynamoDB, and memcached, of which nothing stays."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local import processes, servers
from local.terminal import LocalError

_START_SECONDS = 30


@contextmanager
def emulator() -> Iterator[str]:
    """Run one and yield its ``host:port``."""
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        try:
            servers.start_emulator(folder, port, servers.HOST, os.environ)
            yield f"{servers.HOST}:{port}"
        finally:
            processes.stop(folder)


@contextmanager
def memcached(item_mb: int, memory_mb: int) -> Iterator[str]:
    """Run one and yield its ``host:port``.

    Parameters
    ----------
    item_mb
        Its largest item, MiB.
    memory_mb
        What it holds, MiB.
    """
    program = shutil.which("memcached")
    if program is None:
        raise LocalError("memcached is not installed: run `make setup`.")
    port = _free_port()
    command = [program, "-l", servers.HOST, "-p", str(port), "-U", "0", "-I", f"{item_mb}m", "-m", str(memory_mb)]
    if os.getuid() == 0:
        command += ["-u", "root"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        if not processes.wait_until(lambda: _answers(port), lambda: process.poll() is None, _START_SECONDS):
            raise LocalError("memcached did not start.")
        yield f"{servers.HOST}:{port}"
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((servers.HOST, 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((servers.HOST, port)) == 0
