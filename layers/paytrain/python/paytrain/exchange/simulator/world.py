"""The simulated world: functions with their CPUs and network links, and what the services let through."""

import sys
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import xxhash

from paytrain.channels.base import Usage
from paytrain.exchange.simulator.clock import Clock
from paytrain.exchange.simulator.links import Link
from paytrain.exchange.simulator.profile import Latency, Profile, Service

Done = Callable[[Any], None]
Start = Callable[[Done], None]
"""Begins something that ends later, by calling what it is given."""
Process = Generator[Start, Any, Any]
"""Does one thing after another: yields what to begin, and is sent how that ended."""


class World:
    """What all channels share.

    Parameters
    ----------
    workers
        How many functions there are.
    seed
        Of the latencies' draws.
    in_vpc
        Whether the functions are in a VPC, whose bandwidth they share.

    Attributes
    ----------
    usage
        By rank: counts under the names that the real channels use.
    """

    def __init__(self, profile: Profile, *, workers: int, seed: int, in_vpc: bool = False) -> None:
        self.clock = Clock()
        self.profile = profile
        self.usage = [Usage() for _ in range(workers)]
        network = profile.network
        burst = network.function_burst_bytes, network.function_burst
        self.up = [Link(network.function, *burst) for _ in range(workers)]
        self.down = [Link(network.function, *burst) for _ in range(workers)]
        self._shared_up = [Link(network.vpc)] if in_vpc else []
        self._shared_down = [Link(network.vpc)] if in_vpc else []
        self._cpu_free_at = [0.0] * workers
        self._random = np.random.default_rng(seed)
        self._draws: dict[int, Iterator[float]] = {}

    def cpu(self, rank: int, seconds: float) -> float:
        """Let a function's only core work; returns when it has done this after all that it was given before."""
        free_at = max(self._cpu_free_at[rank], self.clock.now) + seconds
        self._cpu_free_at[rank] = free_at
        return free_at

    def latency(self, latency: Latency) -> float:
        """The next draw, seconds."""
        draws = self._draws.get(id(latency))
        if draws is None:
            draws = self._draws[id(latency)] = cycle(latency.draws(self._random).tolist())
        return next(draws)

    def send(self, rank: int, now: float, size: int, stream: float, *beyond: Link) -> float:
        """Move bytes from a function to a service; returns when the last one is there."""
        return self._move((self.up[rank], *self._shared_up, *beyond), now, size, stream)

    def receive(self, rank: int, now: float, size: int, stream: float, *beyond: Link) -> float:
        """Move bytes from a service to a function; returns when the last one is there."""
        return self._move((self.down[rank], *self._shared_down, *beyond), now, size, stream)

    def run(self, process: Process, done: Done) -> None:
        """Let a process go on as far as it can, now and whenever what it waits for has ended."""

        def go_on(answer: Any) -> None:
            try:
                start = process.send(answer)
            except StopIteration as stop:
                done(stop.value)
                return
            start(go_on)

        go_on(None)

    def together(self, starts: Sequence[Start], at_once: int) -> Start:
        """Begin several things, so many at a time; ends with the list of how each has ended."""

        def start(done: Done) -> None:
            answers: list[Any] = [None] * len(starts)
            waiting = iter(range(len(starts)))
            unfinished = len(starts)

            def begin_next() -> None:
                index = next(waiting, None)
                if index is not None:
                    starts[index](lambda answer: ended(index, answer))

            def ended(index: int, answer: Any) -> None:
                nonlocal unfinished
                answers[index] = answer
                unfinished -= 1
                if unfinished:
                    begin_next()
                else:
                    done(answers)

            if not starts:
                done(answers)
            for _ in range(min(at_once, len(starts))):
                begin_next()

        return start

    @staticmethod
    def _move(links: Sequence[Link], now: float, size: int, stream: float) -> float:
        return max(now + size / stream, *(link.transfer(now, size) for link in links))


class Store:
    """Objects that are there: key → content."""

    def __init__(self) -> None:
        self.objects: dict[str, Any] = {}

    def add(self, key: str, content: Any) -> None:
        """Keep an object; the first content stays."""
        self.objects.setdefault(key, content)

    def remove(self, key: str) -> None:
        """Forget an object, if it is there."""
        self.objects.pop(key, None)


class SortedStore(Store):
    """Objects whose keys can be listed by prefix, in order."""

    def __init__(self) -> None:
        super().__init__()
        self._keys: list[str] = []

    def add(self, key: str, content: Any) -> None:
        """Keep an object; the first content stays."""
        if key not in self.objects:
            insort(self._keys, key)
            super().add(key, content)

    def remove(self, key: str) -> None:
        """Forget an object, if it is there."""
        if key in self.objects:
            del self._keys[bisect_left(self._keys, key)]
            super().remove(key)

    def count(self, prefix: str) -> int:
        """How many keys begin with a prefix."""
        return len(self._range(prefix))

    def listed(self, prefix: str) -> list[str]:
        """The keys that begin with a prefix."""
        found = self._range(prefix)
        return self._keys[found.start : found.stop]

    def _range(self, prefix: str) -> range:
        begin = bisect_left(self._keys, prefix)
        return range(begin, bisect_left(self._keys, prefix + chr(sys.maxunicode), begin))


def spread(key: str, places: int) -> int:
    """Which of several places has a key. A checksum would put keys that differ in a digit into the same few."""
    return int(xxhash.xxh3_64_intdigest(key.encode()) % places)


def total_usage(usages: Sequence[Usage]) -> dict[str, float]:
    """Counts of all ranks together."""
    total: defaultdict[str, float] = defaultdict(float)
    for usage in usages:
        for name, amount in usage.snapshot().items():
            total[name] += amount
    return dict(total)


def request_seconds(world: World, rank: int, service: Service) -> float:
    """When a request leaves a function that makes it now."""
    return world.cpu(rank, service.cpu_seconds)
