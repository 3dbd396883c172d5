"""One round without I/O: advances the patterns' generators and decides when to ask the channel for what.

Threads and a real channel make a driver of it (:mod:`paytrain.exchange.driver`), virtual time and a model of the
services make a simulator: both ask and poll alike, since what to ask and when is decided here.
"""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from paytrain.errors import PeerLost
from paytrain.exchange.operations import Get, Put, Steps, Ticket, Wait
from paytrain.exchange.reads import Reads

SLOWEST_POLL = 8
"""A poll interval grows to this multiple of the channel's own."""
POLL_GROWTH = 1.5


@dataclass(eq=False, slots=True)
class Call:
    """A request to the channel, to be made or under way; a slow get has two of them."""

    ticket: Ticket
    began: float = 0.0


@dataclass(eq=False, slots=True)
class _Asked:
    """A get that has not found its bytes yet; ``since`` its first call."""

    poll_seconds: float
    since: float | None = None
    under_way: int = 0


class Round:
    """The generators of one round, and what they wait for. All times are seconds of one clock.

    Parameters
    ----------
    patterns
        One generator per segment.
    reads
        What earlier rounds have taught about slow reads; None when they are never made twice.
    poll_seconds
        The channel's interval between two questions for the same object; it grows.
    peer_seconds
        After how long a missing object means a lost peer.
    now
        When the round begins.

    Attributes
    ----------
    results
        What each generator has returned.
    """

    def __init__(
        self, patterns: Sequence[Steps], *, reads: Reads | None, poll_seconds: float, peer_seconds: float, now: float
    ) -> None:
        self.results: list[Any] = [None] * len(patterns)
        self._patterns = patterns
        self._unfinished = len(patterns)
        self._reads = reads
        self._poll_seconds = poll_seconds
        self._peer_seconds = peer_seconds
        self._blocked: dict[Ticket, int] = {}
        self._asked: dict[Ticket, _Asked] = {}
        self._place_of_put: dict[Ticket, tuple[int, int]] = {}
        self._held: dict[tuple[int, int], list[Ticket]] = {}
        self._ready: list[Call] = []
        self._to_ask: list[tuple[float, int, Ticket]] = []
        self._to_hedge: list[tuple[float, int, Ticket]] = []
        self._order = count()
        for slot in range(len(patterns)):
            self._advance(slot, None, now)

    @property
    def is_over(self) -> bool:
        """Whether all generators have ended."""
        return self._unfinished == 0

    @property
    def next_due(self) -> float:
        """When :meth:`due` will return something, whatever ends until then."""
        if self._ready:
            return -math.inf
        return min((timers[0][0] for timers in (self._to_ask, self._to_hedge) if timers), default=math.inf)

    def due(self, now: float) -> list[Call]:
        """The calls to be made now."""
        while self._to_ask and self._to_ask[0][0] <= now:
            self._ready.append(Call(heapq.heappop(self._to_ask)[2]))
        while self._to_hedge and self._to_hedge[0][0] <= now:
            ticket = heapq.heappop(self._to_hedge)[2]
            asked = self._asked.get(ticket)
            if asked is not None and asked.under_way == 1:
                self._ready.append(Call(ticket))
        ready, self._ready = self._ready, []
        for call in ready:
            call.began = now
            if isinstance(call.ticket.operation, Get):
                self._note_begin(call.ticket, call.ticket.operation, now)
        return ready

    def ended(self, call: Call, answer: Any, now: float) -> None:
        """A call has ended: with the bytes of a get, or None for one that has found nothing, or for a put.

        Raises
        ------
        PeerLost
            When the object has been missing for longer than a peer may take.
        """
        ticket = call.ticket
        if isinstance(ticket.operation, Get):
            asked = self._asked.get(ticket)
            if asked is None:
                return  # The other of two calls was faster.
            asked.under_way -= 1
            if answer is None:
                self._missed(ticket, ticket.operation, asked, now)
                return
            del self._asked[ticket]
            if self._reads is not None:
                self._reads.took(ticket.operation, now - call.began)
        else:
            for held in self._held.pop(self._place_of_put[ticket], ()):
                self._ask_at(now, held)
        ticket.done, ticket.answer = True, answer
        slot = self._blocked.pop(ticket, None)
        if slot is not None:
            self._advance(slot, answer, now)

    def _advance(self, slot: int, answer: Any, now: float) -> None:
        try:
            while True:
                operation = self._patterns[slot].send(answer)
                if isinstance(operation, Wait):
                    if not operation.ticket.done:
                        self._blocked[operation.ticket] = slot
                        return
                    answer = operation.ticket.answer
                else:
                    answer = self._start(slot, operation, now)
        except StopIteration as stop:
            self.results[slot] = stop.value
            self._unfinished -= 1

    def _start(self, slot: int, operation: Put | Get, now: float) -> Ticket:
        ticket = Ticket(operation)
        place = slot, operation.hop
        if isinstance(operation, Put):
            self._ready.append(Call(ticket))
            self._held.setdefault(place, [])
            self._place_of_put[ticket] = place
        else:
            self._asked[ticket] = _Asked(self._poll_seconds)
            # Peers store theirs when this rank stores its own: asking before that is most likely in vain.
            if (held := self._held.get(place)) is not None:
                held.append(ticket)
            else:
                self._ask_at(now, ticket)
        return ticket

    def _note_begin(self, ticket: Ticket, get: Get, now: float) -> None:
        asked = self._asked[ticket]
        asked.under_way += 1
        asked.since = now if asked.since is None else asked.since
        slow_after = self._reads.slow_after(get) if self._reads is not None else None
        if asked.under_way == 1 and slow_after is not None:
            heapq.heappush(self._to_hedge, (now + slow_after, next(self._order), ticket))

    def _missed(self, ticket: Ticket, get: Get, asked: _Asked, now: float) -> None:
        if asked.under_way:
            return
        assert asked.since is not None
        if now - asked.since > self._peer_seconds:
            raise PeerLost(
                f"Rank {get.rank} has stored nothing under {get.key} for {self._peer_seconds:g} s: "
                "its worker has died, or is too slow for peer_timeout_seconds."
            )
        self._ask_at(now + asked.poll_seconds, ticket)
        asked.poll_seconds = min(asked.poll_seconds * POLL_GROWTH, SLOWEST_POLL * self._poll_seconds)

    def _ask_at(self, time: float, ticket: Ticket) -> None:
        heapq.heappush(self._to_ask, (time, next(self._order), ticket))
