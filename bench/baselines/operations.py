"""What a baseline asks for. Every operation blocks: the generator goes on when it has ended, with its answer."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.baselines.hollow import Body, Vector

TMP, MERGED = "tmp", "merged"
"""The folders: buckets of S3, tables of DynamoDB, beginnings of Memcached's keys."""


@dataclass(frozen=True)
class Put:
    """Store a body: PutObject, PutItem, ``set``."""

    folder: str
    key: str
    body: Body


@dataclass(frozen=True)
class Get:
    """Answers with the body, or None: GetObject, GetItem, ``get``."""

    folder: str
    key: str


@dataclass(frozen=True)
class GetMany:
    """Answers with the bodies of the keys that exist: Memcached's ``get_multi``."""

    folder: str
    keys: Sequence[str]


@dataclass(frozen=True)
class List:
    """Answers with the keys that begin with a prefix: ListObjectsV2 on S3, page after page."""

    folder: str
    prefix: str = ""


@dataclass(frozen=True)
class Scan:
    """Answers with all keys and bodies, to be looked at now: Scan on DynamoDB, page after page."""

    folder: str


@dataclass(frozen=True)
class Delete:
    """Forget keys: one DeleteObject or DeleteObjects, a ``delete`` of each, a DeleteItem of each."""

    folder: str
    keys: Sequence[str]


@dataclass(frozen=True)
class Sleep:
    """Let time pass."""

    seconds: float


@dataclass(frozen=True)
class Compute:
    """What the generator does next with its numbers keeps its core busy for so long.

    Only virtual time needs to be told; in real time the work itself takes it.
    """

    seconds: float


Operation = Put | Get | GetMany | List | Scan | Delete | Sleep | Compute
Steps = Generator[Operation, Any, Any]


@dataclass(frozen=True)
class Task:
    """One rank's part in one exchange.

    Attributes
    ----------
    channel
        ``s3``, ``dynamodb`` or ``memcached``.
    vector
        What this rank contributes, float32 of shape ``(n,)``.
    step
        Counts the exchanges from 0, so that no key is used twice.
    """

    channel: str
    rank: int
    workers: int
    vector: Vector
    step: int = 0


Algorithm = Callable[[Task], list[Steps]]
"""Makes the threads of a rank; the last one returns the mean over all ranks' vectors."""
