"""Leader: rank 0 sums everybody's vector and hands the sum to all.

Two hops; the leader moves W·M bytes down. The reference that the other patterns are tested against.
"""

from paytrain.exchange.frame import Tally
from paytrain.exchange.operations import Prefetch, Steps, Wait
from paytrain.exchange.patterns.member import Member
from paytrain.exchange.reduce import RankOrderSum

LEADER = 0


def leader(member: Member) -> Steps:
    """Sum a segment over all ranks; returns the summed :class:`Tally`, the values go to ``member.out``."""
    size = member.values.size
    if member.rank != LEADER:
        stored = yield member.put(0, [member.values], member.tally)
        summed = Prefetch([member.get(1, LEADER, size)])
        frame = member.read(*(yield from summed.next()), size)
        member.out[:] = frame.values
        yield Wait(stored)
        return frame.tally

    pieces = Prefetch(member.get(0, peer, size) for peer in member.peers)
    total = RankOrderSum(member.out)
    total.add(member.values, member.tally)
    for _ in member.peers:
        frame = member.read(*(yield from pieces.next()), size)
        total.add(frame.values, frame.tally)
    tally: Tally = total.tally
    stored = yield member.put(1, [member.out], tally)
    yield Wait(stored)
    return tally
