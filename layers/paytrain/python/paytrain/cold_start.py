"""A sandbox's cold start: imports made quicker, and the seconds until its handler was ready."""

import gc
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_START_TICKS = 22
"""Field of ``/proc/self/stat``: when the process started, in clock ticks since boot (proc(5))."""

_init_seconds = 0.0
_invocations = 0


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import without garbage collection, then leave what was imported out of every later one.

    TensorFlow's import makes millions of objects that all stay; searching them again and again for garbage takes
    a tenth of a cold start.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def sandbox_is_ready() -> None:
    """Note how long it took from the process' start until now; to be called when everything is imported."""
    global _init_seconds
    _init_seconds = time.clock_gettime(time.CLOCK_BOOTTIME) - _process_start_seconds()


def invocation_begins() -> None:
    """Count an invocation of this sandbox."""
    global _invocations
    _invocations += 1


def init_seconds() -> float:
    """Seconds of the cold start that belong to the current invocation: of a sandbox's first, 0 of later ones.

    Lambda bills them like those of the invocation itself.
    """
    return _init_seconds if _invocations <= 1 else 0.0


def sandbox_seconds() -> float:
    """Seconds of this sandbox's start, whichever invocation asks: from its process' start until all was imported."""
    return _init_seconds


def _process_start_seconds() -> float:
    """When this process started, in seconds since boot, to 10 ms."""
    # The second field is the program's name in parentheses, which may have spaces in it.
    after_name = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return int(after_name[_START_TICKS - 3]) / os.sysconf("SC_CLK_TCK")
