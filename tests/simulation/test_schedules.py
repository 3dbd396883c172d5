"""Whatever the order in which operations complete, all ranks end with the bits of the sum in rank order."""

from collections.abc import Callable
from functools import partial

import pytest

from paytrain.exchange.operations import Prefetch, Steps
from paytrain.exchange.patterns import PATTERNS
from paytrain.exchange.patterns.member import Member
from tests.simulation.ranks import Inputs, Rank, Setup
from tests.simulation.scheduler import Scheduler

SCHEDULES = {1: 6, 3: 3}
"""By number of segments, for each pattern, world size and vector size."""


def sizes(world_size: int) -> list[int]:
    """Numbers of elements around what a world can share out."""
    return sorted({0, 1, world_size - 1, world_size, world_size + 1, 1000})


@pytest.mark.parametrize("world_size", range(1, 10))
@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS.keys())
def test_every_schedule_ends_with_the_sum_in_rank_order(pattern: Callable[[Member], Steps], world_size: int) -> None:
    for elements in sizes(world_size):
        for segments, schedules in SCHEDULES.items():
            for seed in range(schedules):
                # Given a run and a schedule
                inputs = Inputs(world_size, elements, seed)
                setup = Setup(inputs, pattern, segments)
                # When nothing can complete any more
                ranks = Scheduler(setup, schedule=0).run().ranks
                # Then all have ended after the round that was voted to be the last, with all rounds' right results
                assert [rank.results for rank in ranks] == [inputs.results(pattern)] * world_size, setup
                assert all(rank.has_ended for rank in ranks)


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS.keys())
def test_a_finished_run_leaves_only_its_last_round(pattern: Callable[[Member], Steps]) -> None:
    for seed in range(9):
        # Given a run whose ranks delete a round when they have finished the next
        inputs = Inputs(4, 10, seed)
        # When it has ended, then nothing of an older round is left
        keys = Scheduler(Setup(inputs, pattern, 2), schedule=1).run().store.objects
        assert {int(key.split("/")[0]) for key in keys} == {inputs.last_round}


def test_schedules_differ() -> None:
    # Given one run under many schedules, when the orders in which objects are stored are compared
    setup = Setup(Inputs(4, 10, seed=2), PATTERNS["scatter_reduce"], 1)
    orders = {tuple(Scheduler(setup, schedule).run().store.named("put")) for schedule in range(20)}
    # Then no two are alike
    assert len(orders) == 20


def own_first(member: Member) -> Steps:
    """All-gather that begins its sum with its own contribution."""
    everything = slice(0, member.elements)
    yield member.put(0, [everything])
    pieces = Prefetch((member.get(0, peer, member.elements) for peer in member.peers), member.window)
    total = member.sum_of(everything)
    total.add_own()
    for _ in member.peers:
        total.add(*(yield from pieces.next()))
    return total.tally


def hasty_leader(member: Member) -> Steps:
    """Leader whose peers go on with their own votes."""
    summed = yield from PATTERNS["leader"](member)
    return member.tally if member.rank else summed


@pytest.mark.parametrize("broken", [own_first, hasty_leader])
def test_a_broken_pattern_is_found(broken: Callable[[Member], Steps]) -> None:
    # Given a pattern that is subtly wrong, when it runs under a few schedules
    runs = [Scheduler(Setup(Inputs(4, 10, seed), broken, 1), schedule=0).run() for seed in range(5)]
    # Then some results are not those expected
    assert any(rank.results != rank.setup.inputs.results(PATTERNS["all_gather"]) for run in runs for rank in run.ranks)


class Hasty(Scheduler):
    """Deletes a round's objects as soon as their writer has finished it."""

    def _end_round(self, rank: Rank) -> None:
        for key in rank.stored[rank.round - 1]:
            self.at_some_time(partial(self.store.objects.pop, key, None))
        super()._end_round(rank)


def test_deleting_too_early_is_found() -> None:
    # Given ranks that do not wait for the next round before they delete, when they run under a few schedules
    setups = [Setup(Inputs(4, 10, seed), PATTERNS["all_gather"], 1) for seed in range(5)]
    runs = [Hasty(setup, schedule=0).run() for setup in setups]
    # Then some wait in vain
    assert any(rank.is_running for run in runs for rank in run.ranks)
