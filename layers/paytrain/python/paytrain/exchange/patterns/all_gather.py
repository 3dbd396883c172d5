"""All-gather: everybody reads everybody's whole vector and sums for itself.

One hop; every rank moves M bytes up and (W − 1)·M down. For small vectors, where latency is all.
"""

from paytrain.exchange.operations import Prefetch, Steps, Wait
from paytrain.exchange.patterns.member import Member


def all_gather(member: Member) -> Steps:
    """Sum a segment over all ranks; returns the summed :class:`Tally`, the values go to ``member.out``."""
    everything = slice(0, member.elements)
    stored = yield member.put(0, [everything])
    others = Prefetch((member.get(0, peer, member.elements) for peer in member.peers), member.window)
    yield from others.start()
    total = member.sum_of(everything)
    for rank in range(member.world_size):
        if rank == member.rank:
            total.add_own()
        else:
            total.add(*(yield from others.next()))
    yield Wait(stored)
    return total.tally
