"""How long reads take, learned from those of earlier rounds: a slow one is worth a second try."""

from dataclasses import dataclass

from paytrain.exchange.operations import Get

_SLOW = 0.05
"""Share of reads that count as slow."""
_READS_BEFORE_HEDGING = 20
_GAIN = 0.25
"""How far one observation moves the expectation, in units of a usual read."""
_MEMORY = 50
"""Reads over which the usual one is averaged."""
HEDGED_BYTES = 256 * 1024
"""Larger reads are slow because of their bytes, which a second one would only double."""


@dataclass
class _Known:
    """Of reads of one hop and size: seconds."""

    slow: float = 0.0
    usual: float = 0.0
    reads: int = 0


class Reads:
    """When a read is slow enough to be made once more, the faster answer being taken.

    J. Dean, L. A. Barroso: The Tail at Scale, 2013. The 95th percentile is followed by stochastic approximation
    (H. Robbins, S. Monro, 1951), which needs one number instead of a history.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], _Known] = {}

    def slow_after(self, get: Get) -> float | None:
        """Seconds after which a read is slow; None when that is not known, or nothing can be done about it."""
        if get.part.length_bytes > HEDGED_BYTES:
            return None
        known = self._of(get)
        return known.slow if known.reads >= _READS_BEFORE_HEDGING else None

    def took(self, get: Get, seconds: float) -> None:
        """Learn from a read that has found its bytes."""
        known = self._of(get)
        known.reads += 1
        known.usual += (seconds - known.usual) / min(known.reads, _MEMORY)
        if known.reads == 1:
            known.slow = seconds
        known.slow += _GAIN * known.usual * (1 - _SLOW if seconds > known.slow else -_SLOW)

    def _of(self, get: Get) -> _Known:
        return self._known.setdefault((get.hop, get.part.length_bytes), _Known())
