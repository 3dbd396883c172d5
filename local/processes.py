"""Background processes that can be found again, and stopped with everything they have spawned.

Each carries a mark in its environment, which its children inherit. Unlike a process id in a file,
the mark cannot go stale and cannot name a stranger.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_MARK = "PAYTRAIN_TWIN"
_POLL_SECONDS = 0.05


def start(command: Sequence[str], mark: Path, environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, so that Ctrl-C in the terminal does not reach it."""
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            env={**environment, _MARK: str(mark)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def marked(mark: Path) -> list[int]:
    """Return the ids of all living processes that carry the mark."""
    variable = f"{_MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            if variable in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def stop(mark: Path, patience_seconds: float = 5.0) -> int:
    """End all processes that carry the mark, by force when they do not go by themselves.

    Returns
    -------
    int
        How many processes were ended.
    """
    ended: set[int] = set()
    deadline = time.monotonic() + patience_seconds
    while pids := marked(mark):
        late = time.monotonic() > deadline
        for pid in pids:
            if late or pid not in ended:
                _signal(pid, signal.SIGKILL if late else signal.SIGTERM)
                ended.add(pid)
        time.sleep(_POLL_SECONDS)
    return len(ended)


def wait_until(ready: Callable[[], bool], alive: Callable[[], bool], timeout_seconds: float) -> bool:
    """Wait for a condition; give up when the process it depends on has ended, or after the timeout."""
    deadline = time.monotonic() + timeout_seconds
    while not ready():
        if not alive() or time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
