"""Which samples a rank sees in a step: every sample once an epoch, whoever shares the work."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from paytrain.training.batches import Batches, generator_seeds

SHAPES = st.fixed_dictionaries(
    {
        "samples": st.integers(1, 300),
        "batch_size": st.integers(1, 40),
        "world_size": st.integers(1, 12),
        "seed": st.integers(0, 2**63 - 1),
        "shuffle": st.booleans(),
    }
)
A_FEW = settings(deadline=None, max_examples=100)


def epoch_rows(batches: Batches, epoch: int) -> list[int]:
    """Row numbers of an epoch, step by step and rank by rank."""
    steps = range(epoch * batches.steps_per_epoch, (epoch + 1) * batches.steps_per_epoch)
    return [row for step in steps for rank in range(batches.world_size) for row in batches.rows(step, rank).tolist()]


@A_FEW
@given(shape=SHAPES, epoch=st.integers(0, 3))
def test_an_epoch_sees_every_row_exactly_once(shape: dict[str, int], epoch: int) -> None:
    batches = Batches(**shape)
    assert sorted(epoch_rows(batches, epoch)) == list(range(batches.samples))


@A_FEW
@given(
    samples=st.integers(1, 300),
    splits=st.sampled_from([((12, 1), (1, 12), (4, 3), (3, 4)), ((7, 2), (2, 7), (14, 1))]),
    shuffle=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_the_global_batch_does_not_depend_on_who_shares_it(
    samples: int, splits: tuple[tuple[int, int], ...], shuffle: bool, seed: int
) -> None:
    # Given several ways to make the same global batch size
    ways = [Batches(samples, size, world, seed, shuffle) for size, world in splits]
    for step in range(2 * ways[0].steps_per_epoch):
        # When a step's batch is put together from the ranks' parts
        joined = [np.concatenate([way.rows(step, r) for r in range(way.world_size)]).tolist() for way in ways]
        # Then it has the same rows in the same order
        assert all(rows == joined[0] for rows in joined[1:])
        assert joined[0] == ways[0].global_rows(step).tolist()


@A_FEW
@given(shape=SHAPES)
def test_full_steps_give_every_rank_a_batch_and_the_last_is_split_evenly(shape: dict[str, int]) -> None:
    batches = Batches(**shape)
    last = batches.steps_per_epoch - 1
    for step in range(batches.steps_per_epoch):
        sizes = [len(batches.rows(step, rank)) for rank in range(batches.world_size)]
        if step < last:
            assert sizes == [batches.batch_size] * batches.world_size
        else:
            assert max(sizes) - min(sizes) <= 1
            assert sizes == sorted(sizes, reverse=True)


def test_a_short_batch_can_leave_ranks_without_a_row() -> None:
    # Given 10 rows in global batches of 8: the last has 2 for 4 ranks
    batches = Batches(samples=10, batch_size=2, world_size=4, seed=1, shuffle=True)
    # When the last step is split, then two ranks have a row each and two have none
    assert [len(batches.rows(1, rank)) for rank in range(4)] == [1, 1, 0, 0]
    assert [batches.sizes(rank) for rank in range(4)] == [{2, 1}, {2, 1}, {2, 0}, {2, 0}]


@A_FEW
@given(shape=SHAPES)
def test_the_sizes_announced_are_the_sizes_that_come(shape: dict[str, int]) -> None:
    # Given that a function is traced for the sizes announced, and no others
    batches = Batches(**shape)
    for rank in range(batches.world_size):
        seen = {len(batches.rows(step, rank)) for step in range(2 * batches.steps_per_epoch)}
        assert batches.sizes(rank) == seen


def test_without_shuffling_the_order_is_that_of_the_data() -> None:
    batches = Batches(samples=23, batch_size=2, world_size=3, seed=1, shuffle=False)
    assert epoch_rows(batches, 0) == epoch_rows(batches, 1) == list(range(23))


def test_orders_differ_by_epoch_and_by_seed_and_repeat() -> None:
    # Given orders of two seeds over two epochs
    def order(seed: int, epoch: int) -> tuple[int, ...]:
        return tuple(epoch_rows(Batches(samples=100, batch_size=5, world_size=2, seed=seed, shuffle=True), epoch))

    orders = [order(seed, epoch) for seed in (1, 2) for epoch in (0, 1)]
    # Then no two are alike, none is that of the data, and asking again gives the same
    assert len({*orders, tuple(range(100))}) == 5
    assert orders == [order(seed, epoch) for seed in (1, 2) for epoch in (0, 1)]


def test_the_order_of_a_seed_never_changes() -> None:
    # Given that a run may go on under another version of this code or of NumPy
    rows = Batches(samples=10, batch_size=10, world_size=1, seed=1, shuffle=True).global_rows(0)
    assert rows.tolist() == [0, 2, 1, 3, 5, 7, 4, 6, 8, 9]


def test_generator_seeds_differ_in_every_argument() -> None:
    # Given the seeds of two generators for several seeds, ranks and steps
    states = [
        tuple(state)
        for seed in (0, 1)
        for rank in range(3)
        for step in range(4)
        for state in generator_seeds(seed, rank, step, 2).tolist()
    ]
    # Then all differ: also where arguments are exchanged
    assert len(set(states)) == len(states) == 48


def test_generator_seeds_are_32_bit_pairs_and_repeat() -> None:
    first, again = generator_seeds(7, 1, 2, 3), generator_seeds(7, 1, 2, 3)
    assert first.dtype == np.uint32
    assert first.shape == (3, 2)
    assert (first == again).all()
    assert generator_seeds(7, 1, 2, 0).shape == (0, 2)
