"""FuncPipe's pipelined scatter-reduce on S3: one thread sends while another fetches.

Source: Y. Liu et al., *FuncPipe: A Pipelined Serverless Framework for Fast and Cost-efficient Training of Deep Learning
Models*, SIGMETRICS 2023. Whether an object is there is asked by LIST of its key, again and again; what the other thread
has done is looked up every 60 ms. Nothing is deleted.
"""

from dataclasses import dataclass

from bench.baselines.arithmetic import added, chunks, concatenated, divided, is_bare, parsed, serialised
from bench.baselines.hollow import Vector
from bench.baselines.operations import MERGED, TMP, Get, List, Put, Sleep, Steps, Task

FLAG_POLL_SECONDS = 0.06


@dataclass
class _Shared:
    """What the threads of a rank tell each other: its reduced chunk, once it is there."""

    reduced: Vector | None = None


def scatter_reduce(task: Task) -> list[Steps]:
    """Chunks go out beginning with the next rank's and come in beginning with the previous rank's."""
    shared = _Shared()
    return [_upload(task, shared), _download(task, shared)]


def _upload(task: Task, shared: _Shared) -> Steps:
    bare = is_bare(task.vector)
    parts = chunks(task.vector, task.workers)
    for shift in range(1, task.workers):
        peer = (task.rank + shift) % task.workers
        yield Put(TMP, f"{task.step}_{peer}_{task.rank}", (yield from serialised(parts[peer], bare)))
    while shared.reduced is None:
        yield Sleep(FLAG_POLL_SECONDS)
    yield Put(MERGED, f"{task.step}_{task.rank}", (yield from serialised(shared.reduced, bare)))


def _download(task: Task, shared: _Shared) -> Steps:
    bare = is_bare(task.vector)
    mine = chunks(task.vector, task.workers)[task.rank]
    peers = [(task.rank - shift) % task.workers for shift in range(1, task.workers)]
    for peer in peers:
        body = yield from _fetch(TMP, f"{task.step}_{task.rank}_{peer}")
        mine = yield from added(mine, (yield from parsed(body, bare)))
    shared.reduced = mine = yield from divided(mine, task.workers)
    merged = {task.rank: mine}
    for peer in peers:
        body = yield from _fetch(MERGED, f"{task.step}_{peer}")
        merged[peer] = yield from parsed(body, bare)
    return (yield from concatenated(*(merged[rank] for rank in range(task.workers))))


def _fetch(folder: str, key: str) -> Steps:
    while key not in (yield List(folder, key)):
        pass
    return (yield Get(folder, key))
