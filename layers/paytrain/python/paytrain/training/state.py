"""What a run must remember between laps, and how it is written: ``.npz`` without pickles."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from paytrain.exchange.wires.residuals import Residuals
from paytrain.run import COMMON_PART, Checkpoint, Keys, rank_part
from paytrain.store import Artifacts
from paytrain.training.trainer import Trainer


@dataclass
class Progress:
    """How far a run is, equal on all ranks.

    Attributes
    ----------
    step
        Optimizer steps done.
    samples
        Samples seen in the current epoch.
    sums
        Losses and metric states summed over the epoch, shape (metric elements,); Keras weighs losses by samples.
    history
        One object per finished epoch, with Keras' names.
    """

    step: int
    samples: int
    sums: NDArray[np.float64]
    history: list[dict[str, float]] = field(default_factory=list)

    @classmethod
    def start(cls, trainer: Trainer) -> "Progress":
        """Before the first step."""
        return cls(0, 0, np.zeros(trainer.metric_elements))

    def add(self, sums: NDArray[np.float64], samples: int, steps: int = 1) -> None:
        """Count a round's steps with their weighted sums."""
        self.step += steps
        self.samples += samples
        self.sums = self.sums + sums

    def results(self, trainer: Trainer) -> dict[str, float]:
        """Loss and metrics of the epoch so far."""
        return trainer.results(self.sums, self.samples)

    def end_epoch(self, entry: dict[str, float]) -> None:
        """Close the epoch with its entry in the history."""
        self.history.append(entry)
        self.samples, self.sums = 0, np.zeros_like(self.sums)


def save(
    trainer: Trainer,
    progress: Progress,
    artifacts: Artifacts,
    keys: Keys,
    checkpoint: Checkpoint,
    rank: int,
    residuals: Residuals | None = None,
) -> None:
    """Write this rank's parts of a checkpoint: rank 0 the common one, every rank its own if it has one.

    Parameters
    ----------
    residuals
        None exactly if the run's wire has none.
    """
    if rank == 0:
        meta = {
            "step": progress.step,
            "samples": progress.samples,
            "history": progress.history,
        }
        with artifacts.create(keys.checkpoint_part(checkpoint, COMMON_PART)) as part:
            np.savez(
                part,
                allow_pickle=False,
                **_numbered("t", trainer.trainable),
                **_numbered("o", trainer.model.optimizer.variables),
                sums=progress.sums,
                meta=np.frombuffer(json.dumps(meta).encode(), np.uint8),
            )
    if (trainer.own or residuals is not None) and (rank == 0 or checkpoint.step):
        unsent = residuals.named() if residuals is not None else {}
        with artifacts.create(keys.checkpoint_part(checkpoint, rank_part(checkpoint, rank))) as part:
            np.savez(part, allow_pickle=False, **_numbered("n", trainer.own), **unsent)


def load(
    trainer: Trainer,
    artifacts: Artifacts,
    keys: Keys,
    checkpoint: Checkpoint,
    rank: int,
    residuals: Residuals | None = None,
) -> Progress:
    """Set the trainer to a checkpoint's state, and residuals to the rank's if they are given; return how far it is."""
    with _opened(artifacts, keys.checkpoint_part(checkpoint, COMMON_PART)) as arrays:
        _set_numbered("t", trainer.trainable, arrays)
        _set_numbered("o", trainer.model.optimizer.variables, arrays)
        meta, sums = json.loads(arrays["meta"].tobytes()), arrays["sums"]
    if trainer.own or residuals is not None:
        with _opened(artifacts, keys.checkpoint_part(checkpoint, rank_part(checkpoint, rank))) as own:
            _set_numbered("n", trainer.own, own)
            if residuals is not None:
                residuals.set_named(own)
    return Progress(meta["step"], meta["samples"], sums, meta["history"])


def average_own(trainer: Trainer, artifacts: Artifacts, keys: Keys, checkpoint: Checkpoint, workers: int) -> None:
    """Set the ranks' own floating variables to their mean over all ranks; others stay those of rank 0."""
    if not trainer.own or not checkpoint.step:
        return
    parts = []
    for rank in range(workers):
        with _opened(artifacts, keys.checkpoint_part(checkpoint, rank_part(checkpoint, rank))) as own:
            parts.append({f"n{index}": own[f"n{index}"] for index in range(len(trainer.own))})
    for index, variable in enumerate(trainer.own):
        values = [part[f"n{index}"] for part in parts]
        if np.issubdtype(values[0].dtype, np.floating) and any((v != values[0]).any() for v in values[1:]):
            variable.assign(np.mean(values, axis=0, dtype=np.float64).astype(values[0].dtype))


def _numbered(letter: str, variables: list[keras.Variable]) -> dict[str, NDArray[Any]]:
    """The variables' values, as views where TensorFlow gives one."""
    return {f"{letter}{index}": np.asarray(tf.convert_to_tensor(v)) for index, v in enumerate(variables)}


def _set_numbered(letter: str, variables: list[keras.Variable], arrays: Mapping[str, NDArray[Any]]) -> None:
    for index, variable in enumerate(variables):
        # As a tensor that shares the array's memory: assign() would make two copies on the way.
        variable.assign(tf.raw_ops.Identity(input=arrays[f"{letter}{index}"]))


@contextmanager
def _opened(artifacts: Artifacts, key: str) -> Iterator[NpzFile]:
    """A part's arrays, each read when it is asked for."""
    with artifacts.open(key) as part, np.load(part, allow_pickle=False) as arrays:
        yield arrays
