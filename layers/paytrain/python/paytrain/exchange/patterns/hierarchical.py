"""Hierarchical: scatter-reduce within groups, then between the groups, then back to everybody.

Four hops and about 4·√W gets per rank instead of 2·W: for large worlds on S3, where W² requests a round cost money
and meet the request rate. A rank moves about M bytes up and 2·M·(1 + 1/√W) down. Groups are added up first, so the
bits differ from those of the flat patterns.
On a lossy wire each hop has a residual of its own; the owners of a slice in different groups have the same in the last.

Ranks stand in √W groups of consecutive ranks. The vector has as many slices as the smallest group has members: the
n-th member of every group owns the n-th slice, and a larger group's last member owns none.
"""

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from paytrain.channels.base import Part
from paytrain.exchange.frame import Tally
from paytrain.exchange.operations import Get, Operation, Prefetch, Steps, Ticket, Wait
from paytrain.exchange.patterns.member import Member
from paytrain.exchange.segments import even_slices


@dataclass(frozen=True)
class Place:
    """Where a rank stands.

    Attributes
    ----------
    group
        The ranks of its group, in order.
    slices
        The slices of the vector; the n-th belongs to the group's n-th rank.
    column
        The ranks that own the same slice as this one, one per group; empty when it owns none.
    """

    group: range
    slices: Sequence[slice]
    column: Sequence[int]

    @classmethod
    def of(cls, member: Member) -> "Place":
        """The place of a member."""
        groups = [
            range(each.start, each.stop) for each in even_slices(member.world_size, math.isqrt(member.world_size))
        ]
        group = next(each for each in groups if member.rank in each)
        slots = len(groups[-1])
        slot = member.rank - group.start
        column = [each[slot] for each in groups] if slot < slots else []
        return cls(group, even_slices(member.elements, slots), column)

    def owned_by_others(self, rank: int) -> list[tuple[int, slice]]:
        """The slices that other members of the group own, each after its owner."""
        return [(owner, part) for owner, part in zip(self.group, self.slices, strict=False) if owner != rank]


def hierarchical(member: Member) -> Steps:
    """Sum a segment over all ranks; returns the summed :class:`Tally`, the values go to ``member.out``."""
    place = Place.of(member)
    others = place.owned_by_others(member.rank)
    stored = [(yield member.put(0, [part for _, part in others]))]
    tally = member.tally
    if place.column:
        tally = yield from _sum_slice(member, place, stored)
    sums = Prefetch((member.get(3, owner, _size(part)) for owner, part in others), member.window)
    yield from sums.start()
    for _, part in others:
        tally = member.accept(*(yield from sums.next()), part)
    for ticket in stored:
        yield Wait(ticket)
    return tally


def _sum_slice(member: Member, place: Place, stored: list[Ticket]) -> Generator[Operation, Any, Tally]:
    """Sum the slice that this rank owns: over its group, over all groups, and hand it to the group."""
    mine = place.slices[member.rank - place.group.start]
    pieces = Prefetch(_pieces_of_group(member, place), member.window)
    yield from pieces.start()
    total = member.sum_of(mine)
    for rank in place.group:
        if rank == member.rank:
            total.add_own()
        else:
            total.add(*(yield from pieces.next()))
    tally = total.tally
    if len(place.column) > 1:
        tally = yield from _sum_column(member, place, mine, tally, stored)
    if len(place.group) > 1:
        stored.append((yield member.put_sum(3, [mine], tally)))
    return tally


def _sum_column(
    member: Member, place: Place, mine: slice, tally: Tally, stored: list[Ticket]
) -> Generator[Operation, Any, Tally]:
    """Scatter-reduce of the groups' sums of one slice between its owners."""
    column = place.column
    parts = [slice(mine.start + each.start, mine.start + each.stop) for each in even_slices(_size(mine), len(column))]
    here = column.index(member.rank)
    peers = [number for number in range(len(column)) if number != here]
    stored.append((yield member.put_sum(1, [parts[number] for number in peers], tally)))
    lengths = [member.frame_bytes(_size(part)) for part in parts]
    pieces = Prefetch(
        (member.get_part(1, column[number], _part(lengths, here, without=number)) for number in peers), member.window
    )
    yield from pieces.start()
    total = member.resum(1, parts[here], tally)
    for number in range(len(column)):
        if number == here:
            total.add_own()
        else:
            total.add(*(yield from pieces.next()))
    stored.append((yield member.put_sum(2, [parts[here]], total.tally)))
    sums = Prefetch((member.get(2, column[number], _size(parts[number])) for number in peers), member.window)
    yield from sums.start()
    for number in peers:
        member.accept(*(yield from sums.next()), parts[number])
    return total.tally


def _pieces_of_group(member: Member, place: Place) -> Iterator[Get]:
    """Gets of this rank's piece in the first objects of its group, which lack the frame of whoever wrote them."""
    lengths = [member.frame_bytes(_size(part)) for part in place.slices]
    slot = member.rank - place.group.start
    for peer in place.group:
        if peer != member.rank:
            yield member.get_part(0, peer, _part(lengths, slot, without=peer - place.group.start))


def _part(lengths: Sequence[int], wanted: int, *, without: int) -> Part:
    """A frame's part of an object that has one frame per length, but for the one of its writer."""
    skipped = without < wanted
    offset = sum(lengths[:wanted]) - (lengths[without] if skipped else 0)
    return Part(wanted - skipped, offset, lengths[wanted])


def _size(part: slice) -> int:
    return int(part.stop - part.start)
