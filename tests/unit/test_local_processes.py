import os
import subprocess
import sys

import pytest

from local import processes

_SPAWNS_A_CHILD = """
import signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True)
print(child.pid, flush=True)
signal.pause()
"""


@pytest.fixture
def stubborn(tmp_path):
    """A process that ignores SIGTERM and has a child in a session of its own."""
    log = tmp_path / "log"
    process = processes.start([sys.executable, "-c", _SPAWNS_A_CHILD], tmp_path, os.environ, log)
    assert processes.wait_until(lambda: log.read_text().endswith("\n"), lambda: process.poll() is None, 30)
    yield process.pid, int(log.read_text())
    processes.stop(tmp_path, patience_seconds=0)
    process.wait()


def test_a_process_and_its_children_are_found_by_their_mark(tmp_path, stubborn):
    assert sorted(processes.marked(tmp_path)) == sorted(stubborn)
    assert processes.marked(tmp_path / "other") == []


def test_all_are_stopped_even_one_that_does_not_want_to(tmp_path, stubborn):
    assert processes.stop(tmp_path, patience_seconds=0.2) == 2
    assert processes.marked(tmp_path) == []


def test_a_process_without_the_mark_is_left_alone(tmp_path, stubborn):
    stranger = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    try:
        processes.stop(tmp_path, patience_seconds=0)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_waiting_ends_when_the_process_has_ended():
    assert not processes.wait_until(lambda: False, lambda: False, timeout_seconds=3600)
