"""Scatter-reduce: every rank owns a slice, sums it, and hands the sum to all (reduce-scatter, then all-gather).

Two hops; every rank moves M bytes up and 2·M·(W − 1)/W down. For large vectors, where bandwidth is all.
A rank's first object has one frame per owner except itself: its own piece never leaves memory.
"""

from collections.abc import Iterator, Sequence

from paytrain.channels.base import Part
from paytrain.exchange.operations import Get, Prefetch, Steps, Wait
from paytrain.exchange.patterns.member import Member
from paytrain.exchange.segments import even_slices


def scatter_reduce(member: Member) -> Steps:
    """Sum a segment over all ranks; returns the summed :class:`Tally`, the values go to ``member.out``."""
    slices = even_slices(member.elements, member.world_size)
    sizes = [s.stop - s.start for s in slices]
    scattered = yield member.put(0, [slices[owner] for owner in member.peers])
    pieces = Prefetch(_pieces_of(member, sizes), member.window)
    yield from pieces.start()
    total = member.sum_of(slices[member.rank])
    for rank in range(member.world_size):
        if rank == member.rank:
            total.add_own()
        else:
            total.add(*(yield from pieces.next()))

    reduced = yield member.put_sum(1, [slices[member.rank]], total.tally)
    sums = Prefetch((member.get(1, owner, sizes[owner]) for owner in member.peers), member.window)
    yield from sums.start()
    for owner in member.peers:
        member.accept(*(yield from sums.next()), slices[owner])
    yield Wait(scattered)
    yield Wait(reduced)
    return total.tally


def _pieces_of(member: Member, sizes: Sequence[int]) -> Iterator[Get]:
    """Gets of this rank's piece in every peer's first object, which has no frame for the peer itself."""
    lengths = [member.frame_bytes(size) for size in sizes]
    before = sum(lengths[: member.rank])
    for peer in member.peers:
        skipped = peer < member.rank
        offset = before - lengths[peer] if skipped else before
        yield member.get_part(0, peer, Part(member.rank - skipped, offset, lengths[member.rank]))
