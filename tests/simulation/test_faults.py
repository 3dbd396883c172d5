"""With faults a rank has exactly the right sum, or none: it waits in vain or refuses what it reads."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from paytrain.errors import FrameError
from paytrain.exchange.frame import Tally, encode
from paytrain.exchange.operations import Steps
from paytrain.exchange.patterns import PATTERNS
from paytrain.exchange.patterns.member import Member
from tests.simulation.ranks import Inputs, Rank, Setup
from tests.simulation.scheduler import Scheduler

SCHEDULES = 8
"""For each fault, pattern, world size, vector size and number of segments."""

Fault = Callable[[Scheduler, Rank, str], None]


def dies(scheduler: Scheduler, rank: Rank, key: str) -> None:
    """Some rank dies a little later, also while it computes or waits."""
    victim = scheduler.random.choice(scheduler.ranks)
    scheduler.at_some_time(lambda: scheduler.kill(victim))


def vanishes(scheduler: Scheduler, rank: Rank, key: str) -> None:
    """The store forgets the object, at once or when some have read it."""
    scheduler.at_some_time(lambda: scheduler.store.objects.pop(key, None))


def is_corrupted(scheduler: Scheduler, rank: Rank, key: str) -> None:
    """A bit of the object flips."""
    parts = [bytearray(part) for part in scheduler.store.objects[key]]
    part = scheduler.random.choice(parts)
    bit = scheduler.random.randrange(8 * len(part))
    part[bit // 8] ^= 1 << bit % 8
    scheduler.store.objects[key] = [bytes(part) for part in parts]


def is_cut_short(scheduler: Scheduler, rank: Rank, key: str) -> None:
    """The object loses its last byte."""
    *parts, last = scheduler.store.objects[key]
    scheduler.store.objects[key] = [*parts, last[:-1]]


def is_taken_for_another(scheduler: Scheduler, rank: Rank, key: str) -> None:
    """Under the object's key lies a sound one of another rank, segment, hop or round."""
    objects = scheduler.store.objects
    lengths = [*map(len, objects[key])]
    alike = [other for other in objects if other != key and [*map(len, objects[other])] == lengths]
    if alike:
        objects[key] = objects[scheduler.random.choice(alike)]


def is_put_twice(scheduler: Scheduler, rank: Rank, key: str) -> None:
    """A second invocation stores other numbers and another vote under the same key."""
    wire = rank.setup.inputs.wire
    values = np.ones(rank.setup.inputs.elements, wire.dtype)
    other = encode(
        wire.encode(values, np.zeros(values.size, np.float32) if wire.has_residual else None),
        Tally(1, 4, np.ones(2)),
        wire=wire,
        elements=values.size,
        name=f"{key}#0",
        rank=rank.number,
        round_=int(key.split("/")[0]),
    )
    scheduler.store.put(key, [other])


def with_fault(fault: Fault, setup: Setup, schedule: int) -> Scheduler:
    """Run a schedule in which the fault hits some object that is stored."""
    scheduler = Scheduler(setup, schedule)
    at = scheduler.random.randrange(setup.inputs.world_size * setup.segments * (setup.inputs.last_round + 1))

    def after_put(rank: Rank, key: str) -> None:
        nonlocal at
        if at == 0:
            fault(scheduler, rank, key)
        at -= 1

    scheduler.after_put = after_put
    return scheduler.run()


FAULTS: list[tuple[Fault, set[str]]] = [
    (dies, {"ended", "waits"}),
    (vanishes, {"ended", "waits"}),
    (is_corrupted, {"ended", "waits", "refuses"}),
    (is_cut_short, {"ended", "waits", "refuses"}),
    (is_taken_for_another, {"ended", "waits", "refuses"}),
    (is_put_twice, {"ended"}),
]
"""Each with what may become of the ranks that stay alive, and must become of some."""


def fate_of(rank: Rank) -> str:
    if rank.failure is not None:
        assert isinstance(rank.failure, FrameError)
        return "refuses"
    return "ended" if rank.has_ended else "waits"


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS.keys())
@pytest.mark.parametrize(("fault", "fates"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_a_fault_never_makes_a_wrong_sum(fault: Fault, fates: set[str], pattern: Callable[[Member], Steps]) -> None:
    seen: Counter[str] = Counter()
    for world_size in (2, 3, 6):
        for elements in (0, 2, 50):
            for segments in (1, 2):
                for seed in range(SCHEDULES):
                    # Given a run, and a fault somewhere in it
                    inputs = Inputs(world_size, elements, seed)
                    # When nothing can complete any more
                    ranks = with_fault(fault, Setup(inputs, pattern, segments), schedule=seed).ranks
                    # Then whatever round a rank has finished, it has finished with the right sum and all votes
                    for rank in ranks:
                        assert rank.results == inputs.results(pattern)[: len(rank.results)], rank.setup
                    seen.update(fate_of(rank) for rank in ranks if not rank.is_dead)
    # And no rank met another fate than the fault explains, while each of these was met
    assert set(seen) == fates
