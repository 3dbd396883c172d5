"""The first thing that works on DynamoDB with a vector above its item limit: LambdaML's AllReduce, in several items.

Probably what the Pay-as-you-Train paper (Chahal et al., IC2E 2022) calls its unoptimised exchange; it is not published.
Nothing is deleted, because a delete is billed like a write and takes from the same limit: items are to expire.
"""

from typing import Any

from bench.baselines.arithmetic import added, divided, is_bare, parsed, serialised, serialised_bytes
from bench.baselines.hollow import joined
from bench.baselines.operations import MERGED, TMP, Get, Put, Sleep, Steps, Task

ITEM_BYTES = 390 * 1024
POLL_SECONDS = 0.1


def all_reduce(task: Task) -> list[Steps]:
    """Everybody puts its items one by one; rank 0 gets and adds them rank by rank; everybody gets the mean."""
    return [_all_reduce(task)]


def _all_reduce(task: Task) -> Steps:
    bare = is_bare(task.vector)
    size = serialised_bytes(len(task.vector), bare)
    yield from _put(TMP, f"{task.step}_{task.rank}", (yield from serialised(task.vector, bare)))
    if task.rank == 0:
        total: Any = None
        for rank in range(task.workers):
            part = yield from parsed((yield from _get(TMP, f"{task.step}_{rank}", size)), bare)
            total = part if total is None else (yield from added(total, part))
        mean = yield from divided(total, task.workers)
        yield from _put(MERGED, f"{task.step}", (yield from serialised(mean, bare)))
    return (yield from parsed((yield from _get(MERGED, f"{task.step}", size)), bare))


def _put(folder: str, key: str, body: bytes) -> Steps:
    for begin in range(0, max(len(body), 1), ITEM_BYTES):
        yield Put(folder, f"{key}_{begin}", body[begin : begin + ITEM_BYTES])


def _get(folder: str, key: str, size: int) -> Steps:
    items = []
    for begin in range(0, max(size, 1), ITEM_BYTES):
        while (item := (yield Get(folder, f"{key}_{begin}"))) is None:
            yield Sleep(POLL_SECONDS)
        items.append(item)
    return joined(items)
