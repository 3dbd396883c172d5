"""One Lambda sandbox: a container of the worker image and the Runtime API that it talks to."""

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.image.podman import podman, remove, run_detached
from tests.image.runtime_api import Answer, RuntimeApi

TIMEOUT_SECONDS = 300.0
"""Of an invocation; nothing is timed by it."""
# Fields of /proc/<pid>/stat in clock ticks: proc(5).
_USER, _SYSTEM, _BORN = 14, 15, 22


@dataclass(frozen=True)
class Sandbox:
    """A running container.

    Attributes
    ----------
    pid
        Of its only process, as the machine sees it.
    """

    container: str
    pid: int
    api: RuntimeApi

    def invoke(self, payload: dict[str, Any]) -> Answer:
        """Send an event and wait for the answer."""
        self.send(payload)
        return self.answer()

    def send(self, payload: dict[str, Any]) -> None:
        """Send an event; other sandboxes can be sent theirs before the answer is waited for."""
        self.api.send(payload, TIMEOUT_SECONDS)

    def answer(self) -> Answer:
        """The answer to the event sent last."""
        return self.api.answer(TIMEOUT_SECONDS)

    def timed(self, payload: dict[str, Any]) -> tuple[Answer, float]:
        """Invoke, and return the answer with the seconds it took."""
        began = time.monotonic()
        answer = self.invoke(payload)
        return answer, answer.at - began

    def execute(self, *command: str) -> str:
        """Run another program in the container, and return what it prints."""
        return podman("exec", self.container, *command)

    def init_seconds(self) -> float:
        """From the process' start until it asked for its first event: interpreter, runtime client, imports."""
        if not self.api.asked.wait(TIMEOUT_SECONDS):
            raise TimeoutError(f"The sandbox does not ask for events:\n{self.logs()}")
        age_now = time.clock_gettime(time.CLOCK_BOOTTIME) - self._stat(_BORN)
        return age_now - (time.monotonic() - self.api.first_asked_at)

    def cpu_seconds(self) -> float:
        """Processor time used so far, which unlike the clock's does not depend on what else the machine does."""
        return self._stat(_USER) + self._stat(_SYSTEM)

    def peak_mb(self) -> float:
        """Resident memory of the process at its highest, MB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found, status
        return int(found.group(1)) * 1024 / 1e6

    def logs(self) -> str:
        """What it has printed."""
        return podman("logs", self.container)

    def _stat(self, field: int) -> float:
        """A time of the process, in seconds."""
        after_name = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return int(after_name[field - 3]) / os.sysconf("SC_CLK_TCK")


@contextmanager
def sandbox(image: str, environment: Mapping[str, str], memory_mb: int) -> Iterator[Sandbox]:
    """Start a sandbox, and remove it at the end whatever it is doing."""
    with RuntimeApi().serving() as api:
        container = run_detached(image, {**environment, "AWS_LAMBDA_RUNTIME_API": api.address}, memory_mb)
        try:
            pid = int(podman("inspect", "--format", "{{.State.Pid}}", container))
            yield Sandbox(container, pid, api)
        finally:
            remove(container)
