"""How long a round takes: every hop's writes and reads through the resources that they share (docs/cost-model.md).

All ranks are taken to be alike. A resource (a link, a processor, what a service lets through) serves one after the
other; what it has to do is known, so that a round is a few additions per hop and segment. Of every hop two times are
followed: when a usual rank has ended it, and how much later the last one does.
"""

import heapq
import math
from collections import defaultdict
from dataclasses import dataclass

from paytrain.channels.constants import POLL_SECONDS
from paytrain.exchange.round import POLL_GROWTH, SLOWEST_POLL
from paytrain.exchange.simulator.profile import Profile
from paytrain.planner.exchange import Exchange
from paytrain.planner.load import Load, of_hop
from paytrain.planner.slowest import Slowest

_ITEMS_AT_ONCE = 8
"""Of one put or get to DynamoDB."""
_TOGETHER = 1.8
"""Exponent by which delays of different ranks add up: 2 of independent normal ones, 1 if the same rank had them all.
Fitted to the simulator, in which a few ranks have long ones."""
_POLL_GROWS, _POLL_GROWS_ALONE = 0.75, 0.4
"""How much longer a question waits for its turn per second that it has waited, since intervals grow. Fitted."""
_LATE, _LATE_IN_GROUPS = 0.27, 0.4
"""Share of objects that are not there when a rank asks first: all ranks write at about the same time. Fitted."""
_ASKED_BEFORE_COMPLETE = 8
"""Objects that a rank asks for before all are there. Fitted."""
_ROUNDS = 3
"""Until the last hop's delays are those that the first one begins with."""


@dataclass(frozen=True)
class RoundTime:
    """A round.

    Attributes
    ----------
    seconds
        Its mean duration.
    in_vain
        Questions of all ranks for what is not there yet.
    """

    seconds: float
    in_vain: float


class RoundTimes:
    """Rounds under one profile. Remembers the slowest requests that it has worked out."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._slowest: dict[tuple[str, str], Slowest] = {}

    def of(self, exchange: Exchange) -> RoundTime:
        """A round in the steady state; nothing with one worker."""
        if exchange.workers == 1:
            return RoundTime(0.0, 0.0)
        different = {id(hops): hops for hops in exchange.segments}
        known = {key: [of_hop(exchange, hop, self._profile) for hop in hops] for key, hops in different.items()}
        loads = [known[id(hops)] for hops in exchange.segments]
        seconds = behind = 0.0
        for _ in range(_ROUNDS):
            this = _Round(self, exchange, loads)
            seconds, behind = this.run(behind)
        return RoundTime(seconds, this.in_vain)

    def slowest(self, channel: str, kind: str) -> Slowest:
        """Requests of a kind: ``put``, ``get``, or ``hedged`` gets."""
        key = channel, kind
        if key not in self._slowest:
            service = self._profile.services[channel]
            latency = service.put if kind == "put" else service.get
            self._slowest[key] = Slowest(latency, service.cpu_seconds, is_hedged=kind == "hedged")
        return self._slowest[key]

    def cpu_seconds(self, channel: str) -> float:
        """Of a client, per request."""
        return self._profile.services[channel].cpu_seconds


class _Round:
    """One round: what is used until when."""

    def __init__(self, times: RoundTimes, exchange: Exchange, segments: list[list[Load]]) -> None:
        self._times = times
        self._channel = exchange.channel
        self._cpu = times.cpu_seconds(exchange.channel)
        self._tuning = exchange.tuning
        self._segments = segments
        self._free: defaultdict[str, float] = defaultdict(float)
        self._puts_ended: list[float] = []
        self.in_vain = 0.0

    def run(self, behind: float) -> tuple[float, float]:
        """The end of the last segment for a usual rank, and how much later it comes for the last one.

        Parameters
        ----------
        behind
            How much later than a usual rank the last one begins.
        """
        ended = 0.0, 0.0
        waiting = [(0.0, False, segment, 0, behind) for segment in range(len(self._segments))]
        while waiting:
            ready, is_stored, segment, hop, behind = heapq.heappop(waiting)
            load = self._segments[segment][hop]
            if not is_stored:
                stored, behind = self._put(load, ready, behind)
                heapq.heappush(waiting, (stored, True, segment, hop, behind))
                continue
            done, behind = self._gets(load, ready, behind)
            if hop + 1 < len(self._segments[segment]):
                heapq.heappush(waiting, (done, False, segment, hop + 1, behind))
            ended = max(ended, (done, behind))
        return ended

    def _put(self, load: Load, ready: float, behind: float) -> tuple[float, float]:
        """When a usual rank has stored its object, and how much later the last one."""
        if len(self._puts_ended) >= self._tuning.puts_at_once:
            ready = max(ready, sorted(self._puts_ended)[-self._tuning.puts_at_once])
        made = ready + self._cpu
        sent = max(
            self._use("cpu", ready, load.put_requests * self._cpu),
            self._use("up", made, load.up),
            made + load.put_stream,
        )
        shared = self._use("shared_up", made, load.shared_up)
        put = self._times.slowest(self._channel, "put")
        latency = put.of(1, 1) + put.mean * self._writes_in_a_row(load)
        # Who is first at what all share goes on while the others wait.
        usual = max(sent, shared - load.shared_up) + latency
        late = put.of(1, load.writers) - put.of(1, 1)
        last = max(max(sent, shared) + latency + late, usual + _together(late, behind))
        self._puts_ended.append(last)
        return usual, last - usual

    def _writes_in_a_row(self, load: Load) -> int:
        """Requests of a put that wait for one another, the last one not counted."""
        if self._channel == "memcached":
            return load.put_requests - 1
        if self._channel == "dynamodb" and load.put_requests > 1:
            return math.ceil(load.put_requests / _ITEMS_AT_ONCE)
        return 0

    def _gets(self, load: Load, own: float, behind: float) -> tuple[float, float]:
        """When a usual rank has read everything, and how much later the last one.

        Parameters
        ----------
        own
            When a usual rank has stored its own object and begins to ask.
        behind
            How much later the last object is there.
        """
        get = self._times.slowest(self._channel, "hedged" if load.is_hedged else "get")
        complete = own + behind
        first = own + self._cpu + get.mean
        at_once = min(load.gets, self._tuning.window)
        in_a_row = (load.gets / at_once - 1) * (get.mean + load.frame_down)
        asked = max(self._use("cpu", own, load.get_requests * self._cpu), own + in_a_row)
        moved = max(self._use("down", first, load.down), max(first, complete) + load.get_stream)
        shared = self._use("shared_down", first, load.shared_down)
        answered = asked + get.of(at_once, 1)
        # Both are right to a third of a per cent only.
        slow = max(0.0, get.of(at_once, load.readers) - get.of(at_once, 1))

        cycle, missing = self._polling(load, complete if load.is_asked_early else behind, get)
        waited = complete if load.is_asked_early else behind
        self.in_vain += load.ranks * self._questions(load, waited, get.mean + self._cpu)
        usual = max(answered, complete + missing * cycle / 2, moved, shared)
        asking = load.readers * missing
        return usual, max(slow, complete + cycle * asking / (asking + 1) - usual)

    def _polling(self, load: Load, waited: float, get: Slowest) -> tuple[float, float]:
        """Seconds between two questions for the same object, and which share of ranks ask in vain at first."""
        poll = POLL_SECONDS[self._channel]
        answer = self._cpu + get.mean
        grows = _POLL_GROWS_ALONE if load.is_asked_early else _POLL_GROWS
        cycle = min(SLOWEST_POLL * poll, poll + grows * waited) + answer
        return cycle, 1.0 if load.is_asked_early else 1 - math.exp(-waited / answer)

    def _questions(self, load: Load, waited: float, answer: float) -> float:
        """Those in vain of one rank while it waits."""
        poll = POLL_SECONDS[self._channel]
        waited = waited if load.is_asked_early else waited / 2
        pause, until, questions = poll, answer, 0
        while until < waited and pause < SLOWEST_POLL * poll:
            until += pause + answer
            pause *= POLL_GROWTH
            questions += 1
        again = max(1.0, questions + (waited - until) / (SLOWEST_POLL * poll + answer))
        if load.is_asked_early:
            return again + 1
        late = _LATE_IN_GROUPS if load.readers < load.ranks else _LATE
        # The usual rank waits for half as long as the first.
        return late * min(load.gets, self._tuning.window, _ASKED_BEFORE_COMPLETE) * again

    def _use(self, resource: str, ready: float, seconds: float) -> float:
        self._free[resource] = max(self._free[resource], ready) + seconds
        return self._free[resource]


def _together(one: float, other: float) -> float:
    return float((one**_TOGETHER + other**_TOGETHER) ** (1 / _TOGETHER))
