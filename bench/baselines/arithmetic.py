"""Arithmetic and serialisation as the peers do them, each step with what it costs a core.

``python -m bench.baselines.arithmetic`` measures the costs anew.
"""

import io
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.baselines.hollow import Body, Hollow, Vector
from bench.baselines.operations import Compute, Steps

LINEAR_BYTES = 64 * 1024
"""Models of at most so many bytes are taken for linear ones, whose numbers travel bare."""

SERIALISE, PARSE, ADD, CONCATENATE = 1.25e-9, 0.55e-9, 0.16e-9, 0.16e-9
"""Seconds per byte of ``np.savez`` and back, of ``a + b``, and of ``np.concatenate`` (of its result).

CPU time on one core, best of five on arrays of 89 MB, by this module's :func:`measured`. (The originals pickle, which
took 1.28 and 0.61 in the same measurement.)
"""


def serialised(vector: Vector, bare: bool) -> Steps:
    """To bytes: an ``.npz`` archive as deep models are sent, or the bare numbers."""
    if bare:
        return vector.tobytes() if isinstance(vector, np.ndarray) else Hollow(4 * len(vector))
    yield Compute(4 * len(vector) * SERIALISE)
    return _save(vector) if isinstance(vector, np.ndarray) else Hollow(_ARCHIVE_BYTES + 4 * len(vector))


def parsed(body: Body, bare: bool) -> Steps:
    """Back to a vector."""
    if bare:
        return np.frombuffer(body, np.float32) if isinstance(body, bytes) else Hollow(len(body) // 4)
    yield Compute(len(body) * PARSE)
    return _load(body) if isinstance(body, bytes) else Hollow((len(body) - _ARCHIVE_BYTES) // 4)


def added(one: Vector, other: Vector) -> Steps:
    """The sum, in fresh memory."""
    yield Compute(4 * len(one) * ADD)
    return one + other


def divided(vector: Vector, workers: int) -> Steps:
    """The mean from a sum."""
    yield Compute(4 * len(vector) * ADD)
    return vector / np.float32(workers)


def concatenated(*vectors: Vector) -> Steps:
    """One after the other, in fresh memory."""
    length = sum(map(len, vectors))
    yield Compute(4 * length * CONCATENATE)
    solid = [vector for vector in vectors if isinstance(vector, np.ndarray)]
    return np.concatenate(solid) if len(solid) == len(vectors) else Hollow(length)


def chunks(vector: Vector, count: int) -> list[Vector]:
    """Cut into parts of n // count elements, the first n mod count with one more."""
    least, longer = divmod(len(vector), count)
    begins = [least * index + min(index, longer) for index in range(count + 1)]
    return [vector[begin:end] for begin, end in zip(begins, begins[1:], strict=False)]


def is_bare(vector: Vector) -> bool:
    """Whether a model of this size counts as a linear one."""
    return 4 * len(vector) <= LINEAR_BYTES


def serialised_bytes(elements: int, bare: bool) -> int:
    """How long a body is."""
    return 4 * elements + (0 if bare else _ARCHIVE_BYTES)


def measured(size_bytes: int) -> dict[str, float]:
    """Nanoseconds of CPU time per byte, best of five."""
    vector = np.random.default_rng(1).random(size_bytes // 4, np.float32)
    body = _save(vector)
    half = len(vector) // 2
    work: dict[str, Callable[[], Any]] = {
        "serialise": lambda: _save(vector),
        "parse": lambda: _load(body),
        "add": lambda: vector + vector,
        "concatenate": lambda: np.concatenate((vector[:half], vector[half:])),
    }
    return {name: min(_cpu_seconds(each) for _ in range(5)) / size_bytes * 1e9 for name, each in work.items()}


def _save(vector: NDArray[np.float32]) -> bytes:
    file = io.BytesIO()
    np.savez(file, vector)
    return file.getvalue()


def _load(body: bytes) -> NDArray[np.float32]:
    with np.load(io.BytesIO(body)) as archive:
        vector: NDArray[np.float32] = archive["arr_0"]
    return vector


def _cpu_seconds(work: Callable[[], Any]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


_ARCHIVE_BYTES = len(_save(np.zeros(0, np.float32)))

if __name__ == "__main__":
    for megabytes in (1, 12, 89):
        print(f"{megabytes} MB", {name: round(cost, 2) for name, cost in measured(megabytes * 10**6).items()})
