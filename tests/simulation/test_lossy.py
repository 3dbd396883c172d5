"""On a lossy wire all ranks end with the same bits, those that the plainest loops give, whatever the order or fault."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from paytrain.exchange.operations import Steps
from paytrain.exchange.patterns import PATTERNS
from paytrain.exchange.patterns.member import Member
from tests.simulation import lossy
from tests.simulation.ranks import Inputs, Setup
from tests.simulation.scheduler import Scheduler
from tests.simulation.test_faults import FAULTS, Fault, fate_of, with_fault

LOSSY = ["bfloat16", "float16", "int8", "topk"]
PATTERN = pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS.keys())


@PATTERN
@pytest.mark.parametrize("wire", LOSSY)
@pytest.mark.parametrize("world_size", [1, 2, 3, 5, 8])
@pytest.mark.filterwarnings("ignore:overflow")
def test_every_schedule_ends_with_the_same_bits(pattern: Callable[[Member], Steps], wire: str, world_size: int) -> None:
    for elements in sorted({0, 1, world_size - 1, world_size + 1, 1501}):
        for segments in (1, 3):
            for seed in (2, 5):
                # Given a run of three rounds, so that what was not sent in one is sent in the next, and a schedule
                setup = Setup(Inputs(world_size, elements, seed, wire), pattern, segments)
                # When nothing can complete any more
                ranks = Scheduler(setup, schedule=seed).run().ranks
                # Then all ranks have ended, with all rounds' right results
                expected = lossy.results(setup)
                assert [rank.results for rank in ranks] == [expected] * world_size, setup
                assert all(rank.has_ended for rank in ranks)


@PATTERN
@pytest.mark.parametrize(("fault", "fates"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_a_fault_never_makes_a_wrong_sum(fault: Fault, fates: set[str], pattern: Callable[[Member], Steps]) -> None:
    seen: Counter[str] = Counter()
    for world_size in (2, 3, 6):
        for elements in (2, 50):
            for segments in (1, 2):
                for seed in range(6):
                    # Given a run with residuals, and a fault somewhere in it
                    setup = Setup(Inputs(world_size, elements, seed, "int8"), pattern, segments)
                    # When nothing can complete any more
                    ranks = with_fault(fault, setup, schedule=seed).ranks
                    # Then whatever round a rank has finished, it has finished with the right sum and all votes
                    expected = lossy.results(setup)
                    for rank in ranks:
                        assert rank.results == expected[: len(rank.results)], setup
                    seen.update(fate_of(rank) for rank in ranks if not rank.is_dead)
    # And no rank met another fate than the fault explains, while each of these was met
    assert set(seen) == fates


@PATTERN
@pytest.mark.parametrize(("wire", "error"), [("bfloat16", 0.02), ("float16", 0.004), ("int8", 0.04)])
def test_the_sum_is_close(pattern: Callable[[Member], Steps], wire: str, error: float) -> None:
    # Given values of one size
    class Even(Inputs):
        def of(self, rank, round_):
            values, tally = super().of(rank, round_)
            return np.random.default_rng((rank, round_)).uniform(-1, 1, values.size).astype(np.float32), tally

    inputs = Even(5, 300, 0, wire)
    # When they are summed
    (rank, *_) = Scheduler(Setup(inputs, pattern, 1), schedule=0).run().ranks
    # Then the result is close to the exact sum, by what a wire may lose in each hop
    exact = sum(inputs.of(each, 0)[0].astype(np.float64) for each in range(5))
    assert np.abs(np.frombuffer(rank.results[0].values, np.float32) - exact).max() < error
