"""LambdaML's two synchronous exchanges: one call after the other, LIST without a prefix, a poll every 0.1 s.

Source: J. Jiang et al., *Towards Demystifying Serverless Machine Learning Training*, SIGMOD 2021, and the behaviour of
the code published with it. What is different here, so that they end: listings and scans go on after their first page;
nobody gives up after 60 s, which the leader of a large model needs longer than; ScatterReduce deletes DynamoDB's merged
chunks of the step before, since every scan pays for what is left. On DynamoDB a poll is a GetItem instead of a Query of
one key, which take and cost the same. Both make the mean where the sum is.
"""

from collections.abc import Sequence
from typing import Any

from bench.baselines.arithmetic import added, chunks, concatenated, divided, is_bare, parsed, serialised
from bench.baselines.operations import MERGED, TMP, Delete, Get, GetMany, List, Put, Scan, Sleep, Steps, Task

POLL_SECONDS = 0.1


def all_reduce(task: Task) -> list[Steps]:
    """Everybody sends its vector, rank 0 adds them up one by one, everybody fetches the mean.

    Rank 0: 2 PUT, at least 2 LIST, W + 1 GET. The sum is in the order in which the vectors were found.
    """
    return [_all_reduce(task)]


def scatter_reduce(task: Task) -> list[Steps]:
    """Rank i adds up everybody's chunk i; everybody fetches everybody's sums.

    Each: W PUT, 2 (W - 1) GET, at least 2 LIST, W - 1 DELETE. What it waits for it asks for without a pause.
    """
    return [_scatter_reduce(task)]


def _all_reduce(task: Task) -> Steps:
    bare = is_bare(task.vector)
    yield Put(TMP, f"{task.step}_{task.rank}", (yield from serialised(task.vector, bare)))
    if task.rank == 0:
        yield from _merge(task)
    while (body := (yield Get(MERGED, f"{task.step}"))) is None:
        yield Sleep(POLL_SECONDS)
    return (yield from parsed(body, bare))


def _merge(task: Task) -> Steps:
    bare = is_bare(task.vector)
    wanted = [f"{task.step}_{rank}" for rank in range(task.workers)]
    seen: set[str] = set()
    total: Any = None
    while len(seen) < task.workers:
        found = yield from _look(task.channel, TMP, wanted)
        new = [key for key in found if key not in seen]
        for key in new:
            body = found[key] if found[key] is not None else (yield Get(TMP, key))
            part = yield from parsed(body, bare)
            total = part if total is None else (yield from added(total, part))
        if new:
            yield Delete(TMP, new)
        seen.update(new)
    mean = yield from divided(total, task.workers)
    yield Put(MERGED, f"{task.step}", (yield from serialised(mean, bare)))
    if task.channel == "s3":
        old = [key for key in (yield List(MERGED)) if int(key) < task.step]
    else:
        old = [f"{task.step - 1}"] if task.step else []
    if old:
        yield Delete(MERGED, old)


def _scatter_reduce(task: Task) -> Steps:
    bare = is_bare(task.vector)
    parts = chunks(task.vector, task.workers)
    peers = [rank for rank in range(task.workers) if rank != task.rank]
    for peer in peers:
        yield Put(TMP, f"{task.step}_{peer}_{task.rank}", (yield from serialised(parts[peer], bare)))

    mine = parts[task.rank]
    wanted = [f"{task.step}_{task.rank}_{peer}" for peer in peers]
    seen: set[str] = set()
    while len(seen) < len(peers):
        found = yield from _look(task.channel, TMP, wanted)
        for key in [key for key in found if key not in seen]:
            body = found[key] if found[key] is not None else (yield Get(TMP, key))
            mine = yield from added(mine, (yield from parsed(body, bare)))
            yield Delete(TMP, [key])
            seen.add(key)
    mine = yield from divided(mine, task.workers)
    yield Put(MERGED, f"{task.step}_{task.rank}", (yield from serialised(mine, bare)))

    merged = {task.rank: mine}
    owners = {f"{task.step}_{peer}": peer for peer in peers}
    while len(merged) < task.workers:
        found = yield from _look(task.channel, MERGED, list(owners))
        for key in [key for key in found if owners[key] not in merged]:
            body = found[key] if found[key] is not None else (yield Get(MERGED, key))
            merged[owners[key]] = yield from parsed(body, bare)
    if task.channel == "dynamodb" and task.step:
        # Who has all merged chunks of this step knows that everybody has had those of the last one.
        yield Delete(MERGED, [f"{task.step - 1}_{task.rank}"])
    mean = merged[0]
    for rank in range(1, task.workers):
        mean = yield from concatenated(mean, merged[rank])
    return mean


def _look(channel: str, folder: str, wanted: Sequence[str]) -> Steps:
    """Which of the wanted keys are there: key → body, or key → None where the body is yet to be got.

    On Memcached a look transfers the bodies of all that is wanted, on DynamoDB of all that there is.
    """
    if channel == "memcached":
        return (yield GetMany(folder, wanted))
    if channel == "dynamodb":
        items = yield Scan(folder)
        return {key: items[key] for key in wanted if key in items}
    listed = set((yield List(folder)))
    return {key: None for key in wanted if key in listed}
