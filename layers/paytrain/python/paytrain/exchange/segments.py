"""Cuts vectors: into segments that are exchanged independently, and a segment into the slices of its owners."""

from collections import Counter
from itertools import pairwise


def even_slices(length: int, count: int) -> list[slice]:
    """Cut ``range(length)`` into ``count`` slices whose sizes differ by one at most, larger ones first.

    Examples
    --------
    >>> even_slices(5, 3)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    small, larger = divmod(length, count)
    bounds = [i * small + min(i, larger) for i in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(bounds)]


def even_sizes(length: int, count: int) -> Counter[int]:
    """Sizes of the slices that :func:`even_slices` makes, without making them: size → how many.

    Examples
    --------
    >>> even_sizes(5, 3)
    Counter({2: 2, 1: 1})
    """
    small, larger = divmod(length, count)
    return +Counter({small + 1: larger, small: count - larger})
