"""What a round of a pattern writes and reads, hop by hop: the very counts of the patterns, without running them."""

import math
from collections import Counter
from dataclasses import dataclass, field

from paytrain.exchange.segments import even_sizes
from paytrain.planner.sizes import frame_bytes


@dataclass
class Hop:
    """Writes that must be read before the next are made, in one segment, of all ranks together.

    Attributes
    ----------
    writers, readers
        Ranks that store an object; ranks that read.
    gets
        Reads of the rank that reads most.
    written, read
        Bytes of a frame → how many are stored; → how many are read.
    """

    writers: int = 0
    readers: int = 0
    gets: int = 0
    written: Counter[int] = field(default_factory=Counter)
    read: Counter[int] = field(default_factory=Counter)

    @property
    def bytes_up(self) -> int:
        """Of all frames stored."""
        return sum(size * count for size, count in self.written.items())

    @property
    def bytes_down(self) -> int:
        """Of all frames read."""
        return sum(size * count for size, count in self.read.items())


@dataclass(frozen=True)
class Shape:
    """What decides how long frames are.

    Attributes
    ----------
    wire
        How numbers travel.
    metrics
        Sums of loss and metrics in every frame.
    """

    wire: str = "float32"
    metrics: int = 3

    def frame(self, elements: int) -> int:
        """Bytes of a frame."""
        return frame_bytes(self.wire, elements, self.metrics)


def hops(pattern: str, workers: int, elements: int, shape: Shape) -> list[Hop]:
    """The hops of one segment of ``elements`` values."""
    return {
        "all_gather": _all_gather,
        "leader": _leader,
        "scatter_reduce": _scatter_reduce,
        "hierarchical": _hierarchical,
    }[pattern](workers, elements, shape)


def _all_gather(workers: int, elements: int, shape: Shape) -> list[Hop]:
    frame, peers = shape.frame(elements), workers - 1
    return [Hop(workers, workers, peers, Counter({frame: workers}), Counter({frame: workers * peers}))]


def _leader(workers: int, elements: int, shape: Shape) -> list[Hop]:
    frame, peers = shape.frame(elements), workers - 1
    return [
        Hop(peers, 1, peers, Counter({frame: peers}), Counter({frame: peers})),
        Hop(1, peers, 1, Counter({frame: 1}), Counter({frame: peers})),
    ]


def _scatter_reduce(workers: int, elements: int, shape: Shape) -> list[Hop]:
    peers = workers - 1
    frames = _frames(elements, workers, shape)
    to_owners = Counter({size: count * peers for size, count in frames.items()})
    return [
        Hop(workers, workers, peers, to_owners, to_owners.copy()),
        Hop(workers, workers, peers, frames, to_owners.copy()),
    ]


def _hierarchical(workers: int, elements: int, shape: Shape) -> list[Hop]:
    groups = even_sizes(workers, math.isqrt(workers))
    members, count = min(groups), sum(groups.values())
    owners, others = members * count, sum(size - 1 for size in groups.elements())
    gather, share, spread, back = Hop(workers, owners), Hop(owners, owners), Hop(owners, owners), Hop(owners, workers)
    gather.gets, back.gets = max(groups) - 1, members if max(groups) > members else members - 1
    share.gets = spread.gets = count - 1
    for piece, slices in even_sizes(elements, members).items():
        # A slice travels from every other member of each group to its owner, and back.
        gather.written[shape.frame(piece)] += slices * others
        back.written[shape.frame(piece)] += slices * count
        back.read[shape.frame(piece)] += slices * others
        for part, parts in even_sizes(piece, count).items():
            share.written[shape.frame(part)] += slices * parts * (count - 1)
            spread.written[shape.frame(part)] += slices * parts
    gather.read, share.read = gather.written.copy(), share.written.copy()
    spread.read = share.written.copy()
    within = [gather, back] if max(groups) > 1 else []
    between = [share, spread] if count > 1 else []
    return [*within[:1], *between, *within[1:]]


def _frames(elements: int, owners: int, shape: Shape) -> Counter[int]:
    """Bytes of an owner's frame → how many owners have it."""
    frames: Counter[int] = Counter()
    for size, count in even_sizes(elements, owners).items():
        frames[shape.frame(size)] += count
    return frames
