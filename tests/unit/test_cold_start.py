"""A sandbox's start: the environment is checked before TensorFlow is imported, and the seconds are known."""

import gc
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from paytrain import cold_start

WORKER = Path(__file__).resolve().parents[2] / "lambda_src" / "worker"
CLOCK_TICK_SECONDS = 0.01
REFUSED = """
import sys
try:
    import handler
except ValueError as error:
    print(error)
sys.exit("tensorflow" in sys.modules)
"""


def test_a_wrong_environment_is_refused_before_tensorflow_is_imported() -> None:
    # given
    environment = {**os.environ, "PYTHONPATH": str(WORKER), "RUN_TABLE": ""}

    # when
    ended = subprocess.run([sys.executable, "-c", REFUSED], env=environment, capture_output=True, text=True)

    # then
    assert ended.returncode == 0, ended.stderr
    assert "RUN_TABLE" in ended.stdout


def test_only_the_first_invocation_of_a_sandbox_has_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    monkeypatch.setattr(cold_start, "_invocations", 0)
    monkeypatch.setattr(cold_start, "_init_seconds", 0.0)
    cold_start.sandbox_is_ready()

    # when
    seconds = []
    for _ in range(3):
        cold_start.invocation_begins()
        seconds.append(cold_start.init_seconds())

    # then
    assert seconds[0] > 0
    assert seconds[1:] == [0.0, 0.0]


def test_a_start_is_counted_from_the_birth_of_the_process() -> None:
    # given
    code = (
        "import time; from paytrain import cold_start; cold_start.sandbox_is_ready(); "
        "print(time.clock_gettime(time.CLOCK_BOOTTIME) - cold_start.init_seconds())"
    )
    before = time.clock_gettime(time.CLOCK_BOOTTIME)

    # when
    born = float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)

    # then
    assert before - CLOCK_TICK_SECONDS <= born <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_the_garbage_collector_works_again_after_the_imports_even_after_a_failed_one() -> None:
    # given
    collecting = []

    def fail() -> None:
        with cold_start.quick_imports():
            collecting.append(gc.isenabled())
            raise ImportError

    # when
    with pytest.raises(ImportError):
        fail()

    # then
    assert collecting == [False]
    assert gc.isenabled()
    gc.unfreeze()
