"""Leader: rank 0 sums everybody's vector and hands the sum to all.

Two hops; the leader moves W·M bytes down. The reference that the other patterns are tested against.
"""

from paytrain.exchange.operations import Prefetch, Steps, Wait
from paytrain.exchange.patterns.member import Member

LEADER = 0


def leader(member: Member) -> Steps:
    """Sum a segment over all ranks; returns the summed :class:`Tally`, the values go to ``member.out``."""
    everything = slice(0, member.elements)
    if member.rank != LEADER:
        stored = yield member.put(0, [everything])
        summed = Prefetch([member.get(1, LEADER, member.elements)], member.window)
        tally = member.accept(*(yield from summed.next()), everything)
        yield Wait(stored)
        return tally

    pieces = Prefetch((member.get(0, peer, member.elements) for peer in member.peers), member.window)
    total = member.sum_of(everything)
    total.add_own()
    for _ in member.peers:
        total.add(*(yield from pieces.next()))
    stored = yield member.put_sum(1, [everything], total.tally)
    yield Wait(stored)
    return total.tally
