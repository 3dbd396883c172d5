"""Scatter-reduce: every rank owns a slice, sums it, and hands the sum to all (reduce-scatter, then all-gather).

Two hops; every rank moves M bytes up and 2·M·(W − 1)/W down. For large vectors, where bandwidth is all.
A rank's first object has one frame per owner except itself: its own piece never leaves memory.
"""

from collections.abc import Iterator, Sequence

from paytrain.channels.base import Part
from paytrain.exchange.frame import Tally
from paytrain.exchange.operations import Get, Prefetch, Steps, Wait
from paytrain.exchange.patterns.member import Member
from paytrain.exchange.reduce import RankOrderSum
from paytrain.exchange.segments import even_slices


def scatter_reduce(member: Member) -> Steps:
    """Sum a segment over all ranks; returns the summed :class:`Tally`, the values go to ``member.out``."""
    slices = even_slices(member.values.size, member.world_size)
    sizes = [s.stop - s.start for s in slices]
    mine = slices[member.rank]
    scattered = yield member.put(0, [member.values[slices[owner]] for owner in member.peers], member.tally)
    pieces = Prefetch(_pieces_of(member, sizes))
    yield from pieces.start()
    total = RankOrderSum(member.out[mine])
    for rank in range(member.world_size):
        if rank == member.rank:
            total.add(member.values[mine], member.tally)
        else:
            frame = member.read(*(yield from pieces.next()), sizes[member.rank])
            total.add(frame.values, frame.tally)
    tally: Tally = total.tally

    reduced = yield member.put(1, [member.out[mine]], tally)
    sums = Prefetch(member.get(1, owner, sizes[owner]) for owner in member.peers)
    yield from sums.start()
    for owner in member.peers:
        frame = member.read(*(yield from sums.next()), sizes[owner])
        member.out[slices[owner]] = frame.values
    yield Wait(scattered)
    yield Wait(reduced)
    return tally


def _pieces_of(member: Member, sizes: Sequence[int]) -> Iterator[Get]:
    """Gets of this rank's piece in every peer's first object, which has no frame for the peer itself."""
    lengths = [member.frame_bytes(size) for size in sizes]
    before = sum(lengths[: member.rank])
    for peer in member.peers:
        skipped = peer < member.rank
        offset = before - lengths[peer] if skipped else before
        yield member.get_part(0, peer, Part(member.rank - skipped, offset, lengths[member.rank]))
