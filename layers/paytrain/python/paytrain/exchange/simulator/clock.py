"""Virtual time: what happens next is what is due first."""

import heapq
from collections.abc import Callable


class Clock:
    """Events in the order of their times; of equal times, in the order in which they were planned.

    Attributes
    ----------
    now
        Seconds since the simulation began.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._planned = 0

    def at(self, time: float, action: Callable[[], object]) -> None:
        """Plan an action; one in the past happens now."""
        heapq.heappush(self._events, (max(time, self.now), self._planned, action))
        self._planned += 1

    def run(self) -> None:
        """Let everything happen until nothing is planned any more."""
        events = self._events
        while events:
            self.now, _, action = heapq.heappop(events)
            action()
