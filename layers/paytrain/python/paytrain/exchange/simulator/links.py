"""What is shared and limited: bytes per second on a link, requests or units per second at a service."""

import math


class Link:
    """One direction of a network link. Transfers queue; each is told when its last byte is through.

    First come, first served has the same total time as a fair share, and needs one number instead of a list of flows.

    Parameters
    ----------
    bytes_per_second
        In the long run.
    burst_bytes, burst_bytes_per_second
        What goes through faster, once: AWS does not say how a spent burst fills up again.
    """

    def __init__(
        self, bytes_per_second: float, burst_bytes: float = 0.0, burst_bytes_per_second: float = math.inf
    ) -> None:
        self._rate = bytes_per_second
        self._burst = burst_bytes
        self._burst_rate = burst_bytes_per_second
        self._free_at = 0.0

    def transfer(self, now: float, size: float) -> float:
        """Reserve the link for ``size`` bytes; returns the time at which the last one is through."""
        fast = min(self._burst, size)
        self._burst -= fast
        seconds = fast / self._burst_rate + (size - fast) / self._rate
        self._free_at = max(self._free_at, now) + seconds
        return self._free_at


class RateLimit:
    """A service that takes so many units a second and lets the rest wait.

    AWS rejects what is too much and the client comes again with jitter; over a round both take the same time.
    """

    def __init__(self, units_per_second: float) -> None:
        self._rate = units_per_second
        self._free_at = 0.0

    def admit(self, now: float, units: float = 1.0) -> float:
        """The time at which a request of so many units is served."""
        begin = max(self._free_at, now)
        self._free_at = begin + units / self._rate
        return begin
