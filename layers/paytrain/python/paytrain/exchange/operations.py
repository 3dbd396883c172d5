"""What a pattern may ask of the channel. Patterns yield these and never touch a socket themselves.

Yielding :class:`Put` or :class:`Get` starts the operation and answers at once with a ticket;
yielding :class:`Wait` answers when the ticket's operation is done: with the bytes of a get, with None for a put.
"""

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import Buffer

from paytrain.channels.base import Content, Part


@dataclass(frozen=True)
class Put:
    """Store an object made of parts, as this rank's of a ``hop``; making them took ``encode_seconds``."""

    key: str
    parts: Sequence[Content]
    hop: int = 0
    encode_seconds: float = 0.0


@dataclass(frozen=True)
class Get:
    """Read one part of an object, however long it takes to appear. ``rank`` is who writes it, in which ``hop``."""

    key: str
    part: Part
    rank: int
    hop: int = 0


@dataclass(eq=False)
class Ticket:
    """A started operation."""

    operation: Put | Get
    done: bool = False
    answer: Buffer | None = None


@dataclass(frozen=True)
class Wait:
    """Wait for a started operation."""

    ticket: Ticket


Operation = Put | Get | Wait
Steps = Generator[Operation, Any, Any]

WINDOW_BYTES = 64 * 2**20
"""Larger pieces come one after the other: by their size, latency is nothing that had to be hidden."""


class Prefetch:
    """Fetches objects in the given order, ahead of their use.

    Parameters
    ----------
    window
        Pieces in memory at once, the one that is being reduced among them: the next ones arrive meanwhile.
    """

    def __init__(self, gets: Iterable[Get], window: int) -> None:
        self._window = window
        self._waiting = deque(gets)
        self._started: deque[tuple[Get, Ticket]] = deque()
        self._held_bytes = 0

    def start(self) -> Generator[Operation, Ticket, None]:
        """Start what the window allows."""
        while self._waiting and self._has_room_for(self._waiting[0]):
            get = self._waiting.popleft()
            self._held_bytes += get.part.length_bytes
            self._started.append((get, (yield get)))

    def next(self) -> Generator[Operation, Any, tuple[Get, Buffer]]:
        """The next get and its bytes, in order; the piece before it must be forgotten by now."""
        yield from self.start()
        get, ticket = self._started[0]
        data: Buffer = yield Wait(ticket)
        self._started.popleft()
        self._held_bytes -= get.part.length_bytes
        return get, data

    def _has_room_for(self, get: Get) -> bool:
        room = self._held_bytes + get.part.length_bytes <= WINDOW_BYTES
        return not self._started or (len(self._started) < self._window and room)
