"""Performs rounds over a real channel.

The calling thread advances the round; two small thread pools do single channel calls, one for each direction.
A get whose object is not there yet goes back to a timer, so that no thread is held while waiting and gets can
never starve one another.
"""

import queue
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from paytrain.channels.base import Channel, Part
from paytrain.channels.chunks import parts_of
from paytrain.errors import PeerLost
from paytrain.exchange.operations import Put, Steps
from paytrain.exchange.reads import Reads
from paytrain.exchange.round import Call, Round

_CHECK_SECONDS = 0.5


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


class Driver:
    """Runs the generators of one round at a time over a channel.

    Whoever has seen all contributions of a round knows that everybody has finished the round before,
    so its objects of that one are deleted then, in the background.

    Parameters
    ----------
    puts_at_once, gets_at_once
        Calls of each direction under way.

    Attributes
    ----------
    seconds
        Of all rounds: ``encode``, making frames; ``reduce``, checking and adding those of others.
    """

    def __init__(self, channel: Channel, *, puts_at_once: int, gets_at_once: int) -> None:
        self.seconds = {"encode": 0.0, "reduce": 0.0}
        self._stored: list[tuple[str, list[Part]]] = []
        self._channel = channel
        self._reads = Reads() if channel.hedges else None
        self._up = ThreadPoolExecutor(puts_at_once, "put")
        self._down = ThreadPoolExecutor(gets_at_once, "get")
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
            When a peer's object does not appear in time.
        Exception
            Whatever the channel, a generator or ``patience.check`` raised; what is under way is abandoned.
        """
        stored: list[tuple[str, list[Part]]] = []
        # Not a SimpleQueue: in CPython 3.11 its get() waits for ever when a tiny timeout has run out
        # by the time it looks, which a poll that is almost due asks for.
        ended: queue.Queue[tuple[Call, Any]] = queue.Queue()
        began = time.monotonic()
        round_ = Round(
            patterns,
            reads=self._reads,
            poll_seconds=self._channel.poll_seconds,
            peer_seconds=patience.peer_seconds,
            now=began,
        )
        self._advanced(began)
        next_check = began + _CHECK_SECONDS
        while not round_.is_over:
            now = time.monotonic()
            for call in round_.due(now):
                operation = call.ticket.operation
                if isinstance(operation, Put):
                    stored.append((operation.key, parts_of(operation.parts)))
                    self.seconds["encode"] += operation.encode_seconds
                    self.seconds["reduce"] -= operation.encode_seconds
                    self._up.submit(self._perform, call, ended)
                else:
                    self._down.submit(self._perform, call, ended)
            if now >= next_check:
                patience.check()
                next_check = now + _CHECK_SECONDS
            until = min(round_.next_due, next_check, patience.leave_by)
            try:
                call, answer = ended.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                if time.monotonic() >= patience.leave_by:
                    raise PeerLost("No time is left to wait for the other workers.") from None
                continue
            if isinstance(answer, BaseException):
                raise answer
            now = time.monotonic()
            round_.ended(call, answer, now)
            # They hold what was read.
            del call, answer
            self._advanced(now)
        for key, parts in self._stored:
            self._cleaner.submit(self._channel.delete, key, parts)
        self._stored = stored
        return round_.results

    def close(self) -> None:
        """End the threads; calls that are under way are left to end by themselves."""
        for pool in (self._up, self._down):
            pool.shutdown(wait=False, cancel_futures=True)
        self._cleaner.shutdown(wait=False)

    def _advanced(self, began: float) -> None:
        """Count the time in which generators went on: they encode or reduce, and a put says what encoding took."""
        self.seconds["reduce"] += time.monotonic() - began

    def _perform(self, call: Call, ended: "queue.Queue[tuple[Call, Any]]") -> None:
        operation = call.ticket.operation
        try:
            if isinstance(operation, Put):
                self._channel.put(operation.key, operation.parts)
                ended.put((call, None))
            else:
                ended.put((call, self._channel.get(operation.key, operation.part)))
        except BaseException as error:
            ended.put((call, error))
