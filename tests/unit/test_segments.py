"""Cutting a vector loses nothing and is fair."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paytrain.exchange.segments import even_sizes, even_slices


@settings(deadline=None, max_examples=200)
@given(length=st.integers(0, 5000), count=st.integers(1, 1000))
def test_slices_cover_the_range_once_and_in_order(length: int, count: int) -> None:
    # When a range is cut
    slices = even_slices(length, count)
    # Then the slices follow one another from end to end
    assert len(slices) == count
    assert [row for part in slices for row in range(part.start, part.stop)] == list(range(length))
    # And their sizes differ by one at most, larger ones first
    sizes = [part.stop - part.start for part in slices]
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)
    # And are those that are told without cutting
    assert even_sizes(length, count) == Counter(sizes)


@pytest.mark.parametrize(
    ("length", "count", "sizes"), [(0, 1, [0]), (0, 3, [0, 0, 0]), (2, 3, [1, 1, 0]), (7, 3, [3, 2, 2]), (9, 1, [9])]
)
def test_small_cases(length: int, count: int, sizes: list[int]) -> None:
    assert [part.stop - part.start for part in even_slices(length, count)] == sizes
