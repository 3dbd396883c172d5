"""What must come out on a lossy wire: the patterns as plain loops over all ranks, each hop written down."""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paytrain.exchange.operations import Steps
from paytrain.exchange.patterns.all_gather import all_gather
from paytrain.exchange.patterns.hierarchical import hierarchical
from paytrain.exchange.patterns.leader import leader
from paytrain.exchange.patterns.member import Member
from paytrain.exchange.patterns.scatter_reduce import scatter_reduce
from paytrain.exchange.segments import even_slices
from tests.simulation.ranks import Inputs, Result, Setup, plus

Vector = NDArray[Any]


class Senders:
    """What all ranks have sent and kept; a slice is known by its segment and first element."""

    def __init__(self, inputs: Inputs) -> None:
        self.wire = inputs.wire
        self.unsent: dict[tuple[int, int, int, int], Vector] = {}

    def sent(self, rank: int, hop: int, segment: int, start: int, values: Vector) -> Vector:
        """What all read of what a rank sends."""
        residual = None
        if self.wire.has_residual:
            residual = self.unsent.setdefault((rank, hop, segment, start), np.zeros(values.size, np.float32))
        payload = self.wire.encode(values, residual)
        arrived = np.empty_like(values)
        self.wire.decode(payload, arrived)
        return arrived


def results(setup: Setup) -> list[Result]:
    """Of every round, equal on all ranks."""
    inputs, senders = setup.inputs, Senders(setup.inputs)
    found = []
    for round_ in range(inputs.last_round + 1):
        contributions = [inputs.of(rank, round_) for rank in range(inputs.world_size)]
        total = np.concatenate(
            [
                _segment(setup.pattern, senders, segment, [values[part] for values, _ in contributions])
                for segment, part in enumerate(even_slices(inputs.elements, setup.segments))
            ]
        )
        found.append(Result.of(total, _tally_of(setup, contributions)))
    return found


def _segment(pattern: Callable[[Member], Steps], senders: Senders, segment: int, vectors: list[Vector]) -> Vector:
    world, size = len(vectors), vectors[0].size
    if pattern is all_gather:
        return _added([senders.sent(rank, 0, segment, 0, vectors[rank]) for rank in range(world)])
    if pattern is leader:
        total = _added([senders.sent(rank, 0, segment, 0, vectors[rank]) for rank in range(world)])
        return senders.sent(0, 1, segment, 0, total)
    groups = [range(world)[each] for each in even_slices(world, math.isqrt(world))]
    last_hop = 3
    if pattern is scatter_reduce:
        groups, last_hop = [range(world)], 1
    out = np.empty_like(vectors[0])
    for slot, mine in enumerate(even_slices(size, len(groups[-1]))):
        sums = [
            _added([senders.sent(rank, 0, segment, mine.start, vectors[rank][mine]) for rank in group])
            for group in groups
        ]
        column = [group[slot] for group in groups]
        if len(groups) == 1:
            out[mine] = senders.sent(column[0], last_hop, segment, mine.start, sums[0])
            continue
        reduced = np.empty_like(sums[0])
        for owner, part in zip(column, even_slices(reduced.size, len(column)), strict=True):
            start = mine.start + part.start
            total = _added(
                [senders.sent(rank, 1, segment, start, each[part]) for rank, each in zip(column, sums, strict=True)]
            )
            reduced[part] = senders.sent(owner, 2, segment, start, total)
        out[mine] = [senders.sent(rank, last_hop, segment, mine.start, reduced) for rank in column][0]
    return out


def _added(vectors: list[Vector]) -> Vector:
    return functools.reduce(np.add, vectors)


def _tally_of(setup: Setup, contributions: list[Any]) -> Any:
    """As on an exact wire: what travels beside the values is never lossy."""
    if setup.pattern is hierarchical:
        groups = even_slices(len(contributions), math.isqrt(len(contributions)))
        contributions = [functools.reduce(plus, contributions[group]) for group in groups]
    return functools.reduce(plus, contributions)[1]
