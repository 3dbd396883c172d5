"""The memory of a worker: what a job needs, and what a process has taken. Megabytes are Lambda's, of 2**20 bytes."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from paytrain.errors import JobError

MB = 2**20
RUNTIME_BYTES = 700_000_000
"""Interpreter, TensorFlow, clients, and what an optimizer's step needs for a moment (docs/memory.md)."""
GRADIENTS = 3
"""Vectors of the gradient's size at once: contribution, sum, and pieces on their way in or the step's own."""


@dataclass(frozen=True)
class Need:
    """What a worker has in memory, in bytes.

    Attributes
    ----------
    model, optimizer, gradient
        Variables of either; one vector as it is reduced.
    residuals
        What a lossy wire has not sent yet.
    base
        What local steps compare with: the state after the last round.
    data
        Training and validation arrays.
    """

    model: int
    optimizer: int
    gradient: int
    residuals: int
    data: int
    base: int = 0

    @property
    def total(self) -> int:
        """At the moment when it is most."""
        vectors = GRADIENTS * self.gradient + self.residuals + self.base
        return RUNTIME_BYTES + self.model + self.optimizer + vectors + self.data


def need_of(
    *, model: int, optimizer: int, data: int, elements: int, itemsize: int, has_residual: bool, is_local: bool
) -> Need:
    """What a worker needs, from bytes of its arrays.

    Parameters
    ----------
    elements, itemsize
        Of the vector that is exchanged.
    has_residual
        Whether its wire is one with a residual.
    is_local
        Whether there are local steps.
    """
    vector = elements * itemsize
    return Need(
        model=model,
        optimizer=optimizer,
        gradient=vector,
        residuals=vector if has_residual else 0,
        base=vector if is_local else 0,
        data=data,
    )


def refuse_too_large(need: Need, memory_mb: int, sizes: Sequence[int]) -> None:
    """Refuse a job that would run out of memory.

    Parameters
    ----------
    memory_mb
        Of the workers.
    sizes
        That are deployed.

    Raises
    ------
    JobError
        Naming memory_mb, what is needed and for what, and what is allowed.
    """
    if need.total <= memory_mb * MB:
        return
    parts = {
        "model": need.model,
        "optimizer": need.optimizer,
        "gradients": GRADIENTS * need.gradient,
        "residuals": need.residuals,
        "the last round's state": need.base,
        "data": need.data,
        "TensorFlow": RUNTIME_BYTES,
    }
    listed = ", ".join(f"{name} {_mb(size):,}" for name, size in parts.items() if size)
    fitting = [str(size) for size in sorted(sizes) if need.total <= size * MB]
    deployed = ", ".join(map(str, sorted(sizes)))
    allowed = (
        f"it must be {' or '.join(fitting)}"
        if fitting
        else f"worker functions are deployed with {deployed} (context key worker_memory_sizes)"
    )
    raise JobError(
        f"memory_mb = {memory_mb} is not allowed: a worker needs at least {_mb(need.total):,} MB ({listed}); {allowed}."
    )


def peak_mb() -> int:
    """The most that this process has had in memory since it began, as Lambda reports it; 0 where Linux does not say."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    # Not getrusage: its maximum is inherited from the process that started this one.
    return next((int(line.split()[1]) * 1024 // MB for line in status.splitlines() if line.startswith("VmHWM:")), 0)


def give_back_freed() -> None:
    """Let the C library return to the system what has been freed; it keeps up to 64 MB of every arena otherwise."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    # Only glibc has it.
    if trim:
        trim(0)


def _mb(size: int) -> int:
    return -(-size // MB)
