"""Runs the generators of all ranks over a store in memory; a seeded random number decides what completes next.

Generators are driven as :mod:`paytrain.exchange.driver` does it: asking starts an operation and is answered by its
ticket at once, and a get lasts until its object is there.
"""

import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from paytrain.errors import FrameError
from paytrain.exchange.operations import Get, Put, Steps, Ticket, Wait
from tests.memory_channel import MemoryChannel
from tests.simulation.ranks import Rank, Setup


@dataclass(eq=False)
class Pending:
    """An operation that may complete next."""

    rank: Rank
    ticket: Ticket


class Scheduler:
    """One schedule of one run.

    Attributes
    ----------
    random
        Decides everything that chance decides.
    after_put
        Called with a rank and the key that it has stored; faults begin here.
    """

    def __init__(self, setup: Setup, schedule: int) -> None:
        self.random = random.Random(f"{setup.inputs.seed}/{schedule}")
        self.store = MemoryChannel()
        self.ranks = [Rank(number, setup) for number in range(setup.inputs.world_size)]
        self.after_put: Callable[[Rank, str], None] = lambda rank, key: None
        self._laziness = [self.random.random() for _ in self.ranks]
        self._ready: list[Pending | Callable[[], object]] = []
        self._absent: defaultdict[str, list[Pending]] = defaultdict(list)
        self._blocked: dict[Ticket, Callable[[Any], None]] = {}

    def run(self) -> "Scheduler":
        """Run until nothing can complete any more: all have ended, or those that have not wait in vain."""
        for rank in self.ranks:
            self._begin_round(rank)
        while self._ready:
            chosen = self._choose()
            if isinstance(chosen, Pending):
                self._complete(chosen)
            else:
                chosen()
        return self

    def at_some_time(self, action: Callable[[], object]) -> None:
        """Let chance decide when something happens."""
        self._ready.append(action)

    def kill(self, rank: Rank) -> None:
        """End a rank at once; its puts under way may have arrived or not."""
        rank.is_dead = True
        self._ready = [
            pending
            for pending in self._ready
            if not isinstance(pending, Pending)
            or pending.rank is not rank
            or (isinstance(pending.ticket.operation, Put) and self.random.random() < 0.5)
        ]

    def _choose(self) -> Pending | Callable[[], object]:
        """Mostly the less lazy of two, so that in one schedule some ranks are far ahead of others."""
        places = [self.random.randrange(len(self._ready)) for _ in range(2)]
        place = min(places, key=self._laziness_at) if self.random.random() < 0.8 else places[0]
        self._ready[place], self._ready[-1] = self._ready[-1], self._ready[place]
        return self._ready.pop()

    def _laziness_at(self, place: int) -> float:
        pending = self._ready[place]
        return self._laziness[pending.rank.number] if isinstance(pending, Pending) else 0.5

    def _complete(self, pending: Pending) -> None:
        operation = pending.ticket.operation
        if isinstance(operation, Put):
            self.store.put(operation.key, operation.parts)
            self._ready += self._absent.pop(operation.key, [])
            self.after_put(pending.rank, operation.key)
        else:
            content = self.store.get(operation.key, operation.part)
            if content is None:
                self._absent[operation.key].append(pending)
                return
            pending.ticket.answer = content
        pending.ticket.done = True
        resume = self._blocked.pop(pending.ticket, None)
        if resume is not None and pending.rank.is_running:
            resume(pending.ticket.answer)

    def _begin_round(self, rank: Rank) -> None:
        for segment, steps in enumerate(rank.begin_round()):
            if rank.is_running:
                self._advance(rank, segment, steps, None)

    def _advance(self, rank: Rank, segment: int, steps: Steps, answer: Any) -> None:
        def resume(later: Any) -> None:
            self._advance(rank, segment, steps, later)

        try:
            while True:
                operation = steps.send(answer)
                if isinstance(operation, Wait):
                    if not operation.ticket.done:
                        self._blocked[operation.ticket] = resume
                        return
                    answer = operation.ticket.answer
                else:
                    answer = self._start(rank, operation)
        except StopIteration as stop:
            if rank.end_segment(segment, stop.value):
                self._end_round(rank)
        except FrameError as error:
            rank.failure = error

    def _start(self, rank: Rank, operation: Put | Get) -> Ticket:
        if isinstance(operation, Put):
            rank.stored[rank.round].append(operation.key)
        ticket = Ticket(operation)
        self._ready.append(Pending(rank, ticket))
        return ticket

    def _end_round(self, rank: Rank) -> None:
        """Whoever has finished a round deletes its objects of the one before, at some time; then the next begins."""
        for key in rank.stored.get(rank.round - 2, []):
            self.at_some_time(partial(self.store.objects.pop, key, None))
        if not rank.has_ended:
            self._begin_round(rank)
