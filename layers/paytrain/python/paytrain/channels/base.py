"""What every channel offers: immutable objects made of parts, written once and read part by part."""

import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from typing_extensions import Buffer

Content = Sequence[Buffer]
"""What a part is made of: buffers that follow one another, so that nobody copies them together."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an object, which its reader knows in advance.

    Attributes
    ----------
    index
        Its number within the object, from 0.
    offset_bytes
        Where it begins, counted from the object's first byte.
    length_bytes
        How long it is.
    """

    index: int
    offset_bytes: int
    length_bytes: int


class Usage:
    """Counts what a channel did, safely from several threads; the receipt prices it.

    Names are those of the price list: ``s3_put``, ``s3_get``, ``dynamodb_write_units``,
    ``memcached_get``, ``bytes_up``, ``bytes_down``, ``retries``, ...
    """

    def __init__(self) -> None:
        self._counts: defaultdict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    def add(self, **amounts: float) -> None:
        """Add to the named counts."""
        with self._lock:
            for name, amount in amounts.items():
                self._counts[name] += amount

    def snapshot(self) -> dict[str, float]:
        """All counts so far."""
        with self._lock:
            return dict(self._counts)


class Channel(Protocol):
    """A store of immutable objects that all workers of a run can reach.

    Methods may be called from several threads at once. A transient failure (throttling, 5xx,
    a broken connection) is retried inside, with jitter, and counted; what is raised is final.
    """

    usage: Usage
    poll_seconds: float
    """How long to wait before asking again for an object that is not there yet."""
    hedges: bool
    """Whether a slow read is worth a second try: its latency has a long tail, and a request costs little."""

    def put(self, key: str, parts: Sequence[Content]) -> None:
        """Store an object. If it is stored already the first content stays: keys never change meaning.

        The buffers must not change before it returns.
        """

    def get(self, key: str, part: Part) -> Buffer | None:
        """Read one part, or return None when the object is not there yet.

        Raises
        ------
        ObjectLost
            When some of the part is there and the rest has been forgotten.
        """

    def delete(self, key: str, parts: Sequence[Part]) -> None:
        """Forget an object that nobody will read again; free of charge or not done at all."""
