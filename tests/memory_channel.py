"""A channel in memory, whose calls tests can hold up, refuse and count."""

import threading
from collections.abc import Callable, Sequence

from typing_extensions import Buffer

from paytrain.channels.base import Content, Part, Usage


class MemoryChannel:
    """A dictionary with the manners of a channel: the first write wins, a missing object is None.

    Attributes
    ----------
    before_put, before_get, before_delete
        Called with the key at the beginning of every call; may block or raise.
    calls
        Name and key of every call, in the order in which they ended.
    """

    def __init__(self) -> None:
        self.usage = Usage()
        self.poll_seconds = 0.001
        self.hedges = False
        self.objects: dict[str, list[bytes]] = {}
        self.calls: list[tuple[str, str]] = []
        self.before_put: Callable[[str], None] = lambda key: None
        self.before_get: Callable[[str], None] = lambda key: None
        self.before_delete: Callable[[str], None] = lambda key: None
        self._lock = threading.Lock()

    def put(self, key: str, parts: Sequence[Content]) -> None:
        self.before_put(key)
        with self._lock:
            self.objects.setdefault(key, [b"".join(content) for content in parts])
            self.calls.append(("put", key))

    def get(self, key: str, part: Part) -> Buffer | None:
        self.before_get(key)
        with self._lock:
            self.calls.append(("get", key))
            found = self.objects.get(key)
        if found is None:
            return None
        whole = b"".join(found)
        content = whole[part.offset_bytes : part.offset_bytes + part.length_bytes]
        # Some channels go by the part's number, others by its place: both must lead to the same bytes.
        assert content == found[part.index]
        return content

    def delete(self, key: str, parts: Sequence[Part]) -> None:
        self.before_delete(key)
        with self._lock:
            assert [part.length_bytes for part in parts] == [len(part) for part in self.objects[key]]
            del self.objects[key]
            self.calls.append(("delete", key))

    def named(self, call: str) -> list[str]:
        """Keys of all calls of a name that have ended, in order."""
        with self._lock:
            return [key for name, key in self.calls if name == call]


def finish_deletions() -> None:
    """Wait until all drivers that have been closed are done with their deletions."""
    for thread in threading.enumerate():
        if thread.name.startswith("delete"):
            thread.join(60)
            assert not thread.is_alive()
