"""One simulated worker: performs its rounds' calls over a simulated channel, as the driver's threads do."""

import math
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from paytrain.exchange.operations import Get, Put, Steps
from paytrain.exchange.reads import Reads
from paytrain.exchange.round import Call, Round
from paytrain.exchange.simulator.channels import SimulatedChannel
from paytrain.exchange.simulator.world import World
from paytrain.exchange.tuning import Tuning

Patterns = Callable[[int], list[Steps]]
"""Round number → one generator per segment."""


class SimulatedRank:
    """A worker that exchanges round after round.

    Parameters
    ----------
    rounds
        How many.
    patterns
        Makes a round's generators.
    tuning
        How many calls it makes at once.
    compute_seconds
        Between two rounds.

    Attributes
    ----------
    ends
        When each round has ended.
    results
        What each round's generators have returned.
    """

    def __init__(
        self,
        world: World,
        channel: SimulatedChannel,
        rank: int,
        *,
        rounds: int,
        patterns: Patterns,
        tuning: Tuning,
        compute_seconds: float,
    ) -> None:
        self.ends: list[float] = []
        self.results: list[list[Any]] = []
        self._world = world
        self._channel = channel
        self._rank = rank
        self._rounds = rounds
        self._patterns = patterns
        self._compute_seconds = compute_seconds
        self._reads = Reads() if channel.hedges else None
        self._stored: deque[list[Put]] = deque()
        self._waiting: dict[type, deque[Call]] = {Put: deque(), Get: deque()}
        self._free = {Put: tuning.puts_at_once, Get: tuning.gets_at_once}
        self._woken_at = math.inf

    def begin(self) -> None:
        """Begin the next round."""
        self._stored.append([])
        self._round = Round(
            self._patterns(len(self.ends)),
            reads=self._reads,
            poll_seconds=self._channel.poll_seconds,
            peer_seconds=math.inf,
            now=self._world.clock.now,
        )
        self._go_on()

    def _go_on(self) -> None:
        now = self._world.clock.now
        if self._round.next_due <= now:
            for call in self._round.due(now):
                self._waiting[type(call.ticket.operation)].append(call)
        for kind, waiting in self._waiting.items():
            while waiting and self._free[kind]:
                self._free[kind] -= 1
                self._perform(waiting.popleft())
        due = self._round.next_due
        if due < self._woken_at:
            self._woken_at = due
            self._world.clock.at(due, partial(self._wake, due))

    def _wake(self, due: float) -> None:
        if due == self._woken_at:
            self._woken_at = math.inf
            if not self._round.is_over:
                self._go_on()

    def _perform(self, call: Call) -> None:
        operation = call.ticket.operation
        ended = partial(self._ended, call, self._round)
        if isinstance(operation, Put):
            self._stored[-1].append(operation)
            self._channel.put(self._rank, operation, ended)
        else:
            self._channel.get(self._rank, operation, ended)

    def _ended(self, call: Call, of: Round, answer: Any) -> None:
        self._free[type(call.ticket.operation)] += 1
        if of is not self._round or of.is_over:
            return
        now = self._world.clock.now
        of.ended(call, answer, now)
        if of.is_over:
            self._end_round(now)
        else:
            self._go_on()

    def _end_round(self, now: float) -> None:
        self.ends.append(now)
        self.results.append(self._round.results)
        if len(self._stored) > 1:
            for put in self._stored.popleft():
                self._channel.delete(self._rank, put)
        if len(self.ends) < self._rounds:
            self._world.clock.at(now + self._compute_seconds, self.begin)
