"""Measures a lap: seconds by phase, the longest of each for the stop rule, and the gang's speed."""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from paytrain.run import PHASES
from paytrain.training.stop_rule import Pace

_ROUND_PHASES = ("step", "exchange", "apply")
_NAMES = {"step": "compute", "epoch_end": "evaluate", "save": "checkpoint"}
"""In the receipt, where an epoch's end is without its exchanges; the stop rule sees it whole."""


class Meter:
    """The clock of one rank's lap.

    A lap's first round waits for the gang to assemble: it counts in the bill, and for expectations as a bound.

    Attributes
    ----------
    seconds
        Total of each phase, without the phases within it.
    pace
        What the stop rule expects.
    """

    def __init__(self) -> None:
        self.pace = Pace({})
        self.seconds: dict[str, float] = defaultdict(float)
        self._within = 0.0
        self._steady_seconds = 0.0
        self._steady_samples = 0

    @contextmanager
    def phase(self, name: str, *, counts: bool = True) -> Iterator[None]:
        """Time a phase; ``counts`` says whether expectation and speed follow from it."""
        began = time.monotonic()
        outer, self._within = self._within, 0.0
        try:
            yield
        finally:
            seconds = time.monotonic() - began
            self.seconds[name] += seconds - self._within
            self._within = outer + seconds
        if not counts:
            self.pace.observe_uncounted(name, seconds)
            return
        self.pace.observe(name, seconds)
        if name in _ROUND_PHASES:
            self._steady_seconds += seconds

    def count(self, samples: int, *, is_first: bool) -> None:
        """Count the samples of a round over all ranks."""
        if not is_first:
            self._steady_samples += samples

    def phases(self, billed_seconds: float, exchange: Mapping[str, float]) -> dict[str, float]:
        """Seconds of all phases, to the millisecond; what is left of the bill is ``other``.

        Parameters
        ----------
        billed_seconds
            Of the invocation so far.
        exchange
            The driver's own seconds, ``encode`` and ``reduce``; the rest of the exchange is waiting.
        """
        known = {_NAMES.get(name, name): seconds for name, seconds in self.seconds.items() if name != "exchange"}
        known |= {**exchange, "wait": self.seconds["exchange"] - sum(exchange.values())}
        known["other"] = billed_seconds - sum(known.values())
        return {name: round(known.get(name, 0.0), 3) for name in PHASES}

    @property
    def samples_per_second(self) -> float:
        """Speed of the gang without its first round, epoch ends and saving; 0 when that is not known."""
        return self._steady_samples / self._steady_seconds if self._steady_seconds else 0.0
