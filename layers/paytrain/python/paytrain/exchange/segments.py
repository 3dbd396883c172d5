"""Cuts vectors: into segments that are exchanged independently, and a segment into the slices of its owners."""

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
