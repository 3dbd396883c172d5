"""Counts what a peer's operations on real servers would be billed as."""

from collections import Counter
from typing import Any

from bench.baselines.operations import Delete, Get, List, Operation, Put, Scan
from bench.baselines.real import Perform
from paytrain.channels.constants import DYNAMODB_READ_UNIT_BYTES, DYNAMODB_WRITE_UNIT_BYTES


class Counted:
    """A channel that counts; a listing or a scan of several pages as one request.

    Attributes
    ----------
    usage
        Under the names of :class:`paytrain.channels.base.Usage`.
    """

    def __init__(self, channel: str, perform: Perform) -> None:
        self.usage: Counter[str] = Counter()
        self._count = {"s3": self._s3, "dynamodb": self._dynamodb, "memcached": self._memcached}[channel]
        self._perform = perform
        self._sizes: dict[str, int] = {}

    def __call__(self, operation: Operation) -> Any:
        """Do one operation and return its answer."""
        answer = self._perform(operation)
        self._count(operation, answer)
        return answer

    def _s3(self, operation: Operation, answer: Any) -> None:
        match operation:
            case Put():
                self.usage["s3_put"] += 1
            case Get():
                self.usage["s3_get" if answer is not None else "s3_get_missing"] += 1
            case List():
                self.usage["s3_list"] += 1
            case Delete():
                self.usage["s3_delete"] += 1

    def _memcached(self, operation: Operation, answer: Any) -> None:
        self.usage["memcached_requests"] += 1

    def _dynamodb(self, operation: Operation, answer: Any) -> None:
        self.usage["dynamodb_requests"] += len(operation.keys) if isinstance(operation, Delete) else 1
        match operation:
            case Put(_, key, body):
                self._sizes[key] = len(body)
                self._write(len(body))
            case Get():
                self._read(len(answer or b""))
            case Scan():
                self._sizes.update({key: len(body) for key, body in answer.items()})
                self._read(sum(map(len, answer.values())))
            case Delete(_, keys):
                for key in keys:
                    self._write(self._sizes.get(key, 0))

    def _write(self, size: int) -> None:
        self.usage["dynamodb_write_units"] += max(1, -(-size // DYNAMODB_WRITE_UNIT_BYTES))

    def _read(self, size: int) -> None:
        # Eventually consistent: half a unit.
        self.usage["dynamodb_read_units"] += max(1, -(-size // DYNAMODB_READ_UNIT_BYTES)) / 2
