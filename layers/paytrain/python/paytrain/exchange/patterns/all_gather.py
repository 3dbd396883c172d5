"""All-gather: everybody reads everybody's whole vector and sums for itself.

One hop; every rank moves M bytes up and (W − 1)·M down. For small vectors, where latency is all.
"""

from paytrain.exchange.frame import Tally
from paytrain.exchange.operations import Prefetch, Steps, Wait
from paytrain.exchange.patterns.member import Member
from paytrain.exchange.reduce import RankOrderSum


def all_gather(member: Member) -> Steps:
    """Sum a segment over all ranks; returns the summed :class:`Tally`, the values go to ``member.out``."""
    size = member.values.size
    stored = yield member.put(0, [member.values], member.tally)
    others = Prefetch(member.get(0, peer, size) for peer in member.peers)
    yield from others.start()
    total = RankOrderSum(member.out)
    for rank in range(member.world_size):
        if rank == member.rank:
            total.add(member.values, member.tally)
        else:
            frame = member.read(*(yield from others.next()), size)
            total.add(frame.values, frame.tally)
    yield Wait(stored)
    tally: Tally = total.tally
    return tally
