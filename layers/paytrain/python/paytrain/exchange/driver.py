"""Performs patterns over a real channel.

The calling thread advances the generators; two small thread pools do single channel calls, one for each
direction. A get whose object is not there yet goes back to a timer, so that no thread is held while waiting
and gets can never starve one another.
"""

import heapq
import queue
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate, count
from typing import Any

from paytrain.channels.base import Channel, Part
from paytrain.errors import PeerLost
from paytrain.exchange.operations import Get, Operation, Put, Steps, Ticket, Wait

_THREADS_PER_DIRECTION = 4
_CHECK_SECONDS = 0.5
_SLOWEST_POLL = 8
"""A poll interval grows to this multiple of the channel's own."""
_POLL_GROWTH = 1.5


@dataclass(frozen=True)
class Patience:
    """How long to wait for peers.

    Attributes
    ----------
    peer_seconds
        For each object, from the moment it is asked for.
    leave_by
        ``time.monotonic()`` at which every wait ends, whatever it is for.
    check
        Called twice a second while waiting; raises to leave.
    """

    peer_seconds: float
    leave_by: float
    check: Callable[[], None]


class _Waiting:
    """A get that is under way: when it was asked for, and how long to wait before asking again."""

    def __init__(self, get: Get, ticket: Ticket, poll_seconds: float) -> None:
        self.get = get
        self.ticket = ticket
        self.since = time.monotonic()
        self.poll_seconds = poll_seconds


class Driver:
    """Runs the generators of one round at a time over a channel.

    Whoever has seen all contributions of a round knows that everybody has finished the round before,
    so its objects of that one are deleted then, in the background.
    """

    def __init__(self, channel: Channel) -> None:
        self._stored: list[tuple[str, list[Part]]] = []
        self._channel = channel
        self._up = ThreadPoolExecutor(_THREADS_PER_DIRECTION, "put")
        self._down = ThreadPoolExecutor(_THREADS_PER_DIRECTION, "get")
        self._cleaner = ThreadPoolExecutor(1, "delete")

    def run(self, patterns: Sequence[Steps], patience: Patience) -> list[Any]:
        """Run generators concurrently to their ends.

        Returns
        -------
        list
            What each generator returned, in order.

        Raises
        ------
        PeerLost
            When an object did not appear within the patience.
        Exception
            Whatever the channel, a generator or ``patience.check`` raised; what is under way is abandoned.
        """
        this = _Round(self._channel, self._up, self._down, patience)
        results = this.run(patterns)
        for key, parts in self._stored:
            self._cleaner.submit(self._channel.delete, key, parts)
        self._stored = this.stored
        return results

    def close(self) -> None:
        """End the threads; calls that are under way are left to end by themselves."""
        for pool in (self._up, self._down):
            pool.shutdown(wait=False, cancel_futures=True)
        self._cleaner.shutdown(wait=False)


class _Round:
    """The state of one run of generators."""

    def __init__(self, channel: Channel, up: ThreadPoolExecutor, down: ThreadPoolExecutor, patience: Patience) -> None:
        self._channel = channel
        self._up = up
        self._down = down
        self._patience = patience
        # Not a SimpleQueue: in CPython 3.11 its get() waits for ever when a tiny timeout has run out
        # by the time it looks, which a poll that is almost due asks for.
        self._completed: queue.Queue[tuple[_Waiting | Ticket, Any]] = queue.Queue()
        self._timers: list[tuple[float, int, _Waiting]] = []
        self._order = count()
        self._blocked: dict[Ticket, int] = {}
        self.stored: list[tuple[str, list[Part]]] = []
        self._next_check = time.monotonic() + _CHECK_SECONDS

    def run(self, patterns: Sequence[Steps]) -> list[Any]:
        results: list[Any] = [None] * len(patterns)
        unfinished = set(range(len(patterns)))

        def advance(index: int, answer: Any) -> None:
            try:
                while True:
                    operation = patterns[index].send(answer)
                    if isinstance(operation, Wait) and not operation.ticket.done:
                        self._blocked[operation.ticket] = index
                        return
                    answer = operation.ticket.answer if isinstance(operation, Wait) else self._start(operation)
            except StopIteration as stop:
                results[index] = stop.value
                unfinished.discard(index)

        for index in range(len(patterns)):
            advance(index, None)
        while unfinished:
            ticket = self._next_done()
            blocked = self._blocked.pop(ticket, None)
            if blocked is not None:
                advance(blocked, ticket.answer)
        return results

    def _start(self, operation: Operation) -> Ticket:
        if isinstance(operation, Put):
            ticket = Ticket(operation)
            self.stored.append((operation.key, _parts_of(operation.parts)))
            self._up.submit(self._perform_put, ticket, operation)
        else:
            assert isinstance(operation, Get)
            ticket = Ticket(operation)
            self._ask(_Waiting(operation, ticket, self._channel.poll_seconds))
        return ticket

    def _ask(self, waiting: _Waiting) -> None:
        self._down.submit(self._perform_get, waiting)

    def _perform_put(self, ticket: Ticket, put: Put) -> None:
        try:
            self._channel.put(put.key, put.parts)
            self._completed.put((ticket, None))
        except BaseException as error:
            self._completed.put((ticket, error))

    def _perform_get(self, waiting: _Waiting) -> None:
        try:
            self._completed.put((waiting, self._channel.get(waiting.get.key, waiting.get.part)))
        except BaseException as error:
            self._completed.put((waiting, error))

    def _next_done(self) -> Ticket:
        """Wait until an operation is done; keep the timers and the patience meanwhile."""
        while True:
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                self._ask(heapq.heappop(self._timers)[2])
            if now >= self._next_check:
                self._patience.check()
                self._next_check = time.monotonic() + _CHECK_SECONDS
            until = min([self._next_check, self._patience.leave_by, *(timer[0] for timer in self._timers[:1])])
            try:
                done, answer = self._completed.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                if time.monotonic() >= self._patience.leave_by:
                    raise PeerLost("No time is left to wait for the other workers.") from None
                continue
            if isinstance(answer, BaseException):
                raise answer
            if isinstance(done, _Waiting):
                if answer is None:
                    self._ask_again_later(done)
                    continue
                done = done.ticket
            done.done, done.answer = True, answer
            return done

    def _ask_again_later(self, waiting: _Waiting) -> None:
        now = time.monotonic()
        if now - waiting.since > self._patience.peer_seconds:
            raise PeerLost(
                f"Rank {waiting.get.rank} has stored nothing under {waiting.get.key} "
                f"for {self._patience.peer_seconds:g} s: "
                "its worker has died, or is too slow for peer_timeout_seconds."
            )
        heapq.heappush(self._timers, (now + waiting.poll_seconds, next(self._order), waiting))
        slowest = _SLOWEST_POLL * self._channel.poll_seconds
        waiting.poll_seconds = min(waiting.poll_seconds * _POLL_GROWTH, slowest)


def _parts_of(buffers: Sequence[memoryview]) -> list[Part]:
    offsets = accumulate((len(buffer) for buffer in buffers), initial=0)
    return [
        Part(index, offset, len(buffer)) for index, (buffer, offset) in enumerate(zip(buffers, offsets, strict=False))
    ]
