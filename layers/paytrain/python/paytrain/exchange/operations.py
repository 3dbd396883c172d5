"""What a pattern may ask of the channel. Patterns yield these and never touch a socket themselves.

Yielding :class:`Put` or :class:`Get` starts the operation and answers at once with a ticket;
yielding :class:`Wait` answers when the ticket's operation is done: with the bytes of a get, with None for a put.
"""

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import Buffer

from paytrain.channels.base import Part


@dataclass(frozen=True)
class Put:
    """Store an object made of parts."""

    key: str
    parts: Sequence[memoryview]


@dataclass(frozen=True)
class Get:
    """Read one part of an object, however long it takes to appear. ``rank`` is who writes it."""

    key: str
    part: Part
    rank: int


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

WINDOW = 2
"""Gets under way ahead of the reduction: latency is hidden, and no more than this many pieces are buffered."""


class Prefetch:
    """Fetches objects in the given order, a few ahead of their use."""

    def __init__(self, gets: Iterable[Get]) -> None:
        self._waiting = deque(gets)
        self._started: deque[tuple[Get, Ticket]] = deque()

    def start(self) -> Generator[Operation, Ticket, None]:
        """Start what the window allows."""
        while self._waiting and len(self._started) < WINDOW:
            get = self._waiting.popleft()
            self._started.append((get, (yield get)))

    def next(self) -> Generator[Operation, Any, tuple[Get, Buffer]]:
        """The next get and its bytes, in order."""
        yield from self.start()
        get, ticket = self._started.popleft()
        data: Buffer = yield Wait(ticket)
        yield from self.start()
        return get, data
