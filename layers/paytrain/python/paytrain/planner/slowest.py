"""How long the slowest of many requests takes: what a hop waits for."""

import math
from bisect import bisect_right
from collections.abc import Callable

from paytrain.exchange.simulator.profile import Latency

_EXPECTED = math.exp(-0.5772)
"""Of the largest of n draws: where n · (1 − F) is e to the minus Euler's constant, its expectation has the largest of
many draws with an exponential tail (E. J. Gumbel: Statistics of Extremes, 1958)."""
_PRECISION = 0.003
_MOST_TERMS = 24


class Slowest:
    """The expected slowest request of a service. Remembers what it has worked out.

    Parameters
    ----------
    latency
        Of one request.
    apart_seconds
        Between two requests of one client, whose processor makes them one after the other.
    is_hedged
        Whether a request that takes longer than 95 of 100 is made once more, and the first answer counts.
    """

    def __init__(self, latency: Latency, apart_seconds: float, *, is_hedged: bool = False) -> None:
        self._latency = latency
        self._apart = apart_seconds
        self._again_after = latency.at(0.95) if is_hedged else math.inf
        self._known: dict[tuple[int, float], float] = {}
        points = list(zip(latency.probabilities, latency.log_ms, strict=True))
        self.mean = sum(
            (right - left) * (math.exp(low) + math.exp(high)) / 2e3
            for (left, low), (right, high) in zip(points, points[1:], strict=False)
        )

    def of(self, requests: int, clients: float) -> float:
        """Seconds after the last request was made until the slowest of all clients' requests has ended."""
        key = requests, clients
        if key not in self._known:
            self._known[key] = self._solve(requests, clients)
        return self._known[key]

    def _solve(self, requests: int, clients: float) -> float:
        """The time at which so many are expected to be missing as is usual when the last one comes."""
        # Not later than if all were made when the last one is, not sooner than if there were only the last ones.
        high = self._latency.at(math.exp(-_EXPECTED / clients / requests))
        if requests == 1 and high <= self._again_after:
            return high
        low = min(self._latency.at(math.exp(-_EXPECTED / clients)), self._again_after)
        terms = min(requests, _MOST_TERMS)
        step = requests / terms

        def missing(seconds: float) -> float:
            total = 0.0
            for term in range(terms):
                beyond = self._beyond(seconds + term * step * self._apart)
                if not beyond:  # As those before it.
                    break
                total += beyond
            return clients * step * total

        return _solve(missing, _EXPECTED, low, high)

    def _beyond(self, seconds: float) -> float:
        """Minus the logarithm of the probability that a request has ended by then."""
        late = 1.0 - self._ended(seconds)
        if seconds > self._again_after:
            late *= 1.0 - self._ended(seconds - self._again_after)
        return -math.log1p(-min(late, 1 - 1e-12))

    def _ended(self, seconds: float) -> float:
        if seconds <= 0:
            return 0.0
        log_ms = math.log(seconds * 1e3)
        known, at = self._latency.log_ms, self._latency.probabilities
        right = bisect_right(known, log_ms)
        if right in (0, len(known)):
            return float(right > 0)
        share = (log_ms - known[right - 1]) / (known[right] - known[right - 1])
        return at[right - 1] + share * (at[right] - at[right - 1])


def _solve(falling: Callable[[float], float], value: float, low: float, high: float) -> float:
    """Where a falling function has a value."""
    while high - low > _PRECISION * high:
        middle = (low + high) / 2
        if falling(middle) > value:
            low = middle
        else:
            high = middle
    return (low + high) / 2
