"""Measures a lap: seconds by phase, the longest of each for the stop rule, and the gang's speed."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from paytrain.training.stop_rule import Pace

_ROUND_PHASES = ("step", "exchange", "apply")


class Meter:
    """The clock of one rank's lap.

    A lap's first round waits for the gang to assemble: it counts in the bill, and in no expectation.

    Attributes
    ----------
    seconds
        Total of each phase.
    pace
        What the stop rule expects.
    """

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.seconds: dict[str, float] = defaultdict(float)
        self._steady_seconds = 0.0
        self._steady_samples = 0

    @contextmanager
    def phase(self, name: str, *, is_first: bool = False) -> Iterator[None]:
        """Time a phase; ``is_first`` says that it belongs to the lap's first round."""
        began = time.monotonic()
        yield
        seconds = time.monotonic() - began
        self.seconds[name] += seconds
        if is_first:
            return
        self.pace.observe(name, seconds)
        if name in _ROUND_PHASES:
            self._steady_seconds += seconds

    def count(self, samples: int, *, is_first: bool) -> None:
        """Count the samples of a round over all ranks."""
        if not is_first:
            self._steady_samples += samples

    @property
    def samples_per_second(self) -> float:
        """Speed of the gang without its first round, epoch ends and saving; 0 when that is not known."""
        return self._steady_samples / self._steady_seconds if self._steady_seconds else 0.0
