"""What a run must remember between laps, and how it is written: ``.npz`` without pickles."""

import io
import json
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

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
    loss_sum
        Sum over the epoch's samples of the loss that Keras would report for their global batch.
    metric_sums
        Metric states summed over the epoch, shape (metric elements - 1,).
    history
        One object per finished epoch, with Keras' names.
    """

    step: int
    samples: int
    loss_sum: float
    metric_sums: NDArray[np.float64]
    history: list[dict[str, float]] = field(default_factory=list)

    @classmethod
    def start(cls, trainer: Trainer) -> "Progress":
        """Before the first step."""
        return cls(0, 0, 0.0, np.zeros(trainer.metric_elements - 1))

    def add(self, loss: float, samples: int, metric_sums: NDArray[np.float64]) -> None:
        """Count a step."""
        self.step += 1
        self.samples += samples
        self.loss_sum += loss * samples
        self.metric_sums = self.metric_sums + metric_sums

    def results(self, trainer: Trainer) -> dict[str, float]:
        """Loss and metrics of the epoch so far."""
        return {"loss": self.loss_sum / max(self.samples, 1), **trainer.results(self.metric_sums)}

    def end_epoch(self, entry: dict[str, float]) -> None:
        """Close the epoch with its entry in the history."""
        self.history.append(entry)
        self.samples, self.loss_sum = 0, 0.0
        self.metric_sums = np.zeros_like(self.metric_sums)


def save(
    trainer: Trainer, progress: Progress, artifacts: Artifacts, keys: Keys, checkpoint: Checkpoint, rank: int
) -> None:
    """Write this rank's parts of a checkpoint: rank 0 the common one, every rank its own if it has one."""
    if rank == 0:
        arrays = _numbered("t", trainer.trainable) | _numbered("o", trainer.model.optimizer.variables)
        meta = {
            "step": progress.step,
            "samples": progress.samples,
            "loss_sum": progress.loss_sum.hex(),
            "history": progress.history,
        }
        arrays["metric_sums"] = progress.metric_sums
        arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
        artifacts.put(keys.checkpoint_part(checkpoint, COMMON_PART), _pack(arrays))
    if trainer.own and (rank == 0 or checkpoint.step):
        artifacts.put(keys.checkpoint_part(checkpoint, rank_part(checkpoint, rank)), _pack(_numbered("n", trainer.own)))


def load(trainer: Trainer, artifacts: Artifacts, keys: Keys, checkpoint: Checkpoint, rank: int) -> Progress:
    """Set the trainer to a checkpoint's state and return how far it is."""
    arrays = _unpack(artifacts.get(keys.checkpoint_part(checkpoint, COMMON_PART)))
    _set_numbered("t", trainer.trainable, arrays)
    _set_numbered("o", trainer.model.optimizer.variables, arrays)
    if trainer.own:
        own = _unpack(artifacts.get(keys.checkpoint_part(checkpoint, rank_part(checkpoint, rank))))
        _set_numbered("n", trainer.own, own)
    meta = json.loads(arrays["meta"].tobytes())
    return Progress(
        meta["step"], meta["samples"], float.fromhex(meta["loss_sum"]), arrays["metric_sums"], meta["history"]
    )


def average_own(trainer: Trainer, artifacts: Artifacts, keys: Keys, checkpoint: Checkpoint, workers: int) -> None:
    """Set the ranks' own floating variables to their mean over all ranks; others stay those of rank 0."""
    if not trainer.own or not checkpoint.step:
        return
    parts = [_unpack(artifacts.get(keys.checkpoint_part(checkpoint, rank_part(checkpoint, r)))) for r in range(workers)]
    for index, variable in enumerate(trainer.own):
        values = [part[f"n{index}"] for part in parts]
        if np.issubdtype(values[0].dtype, np.floating) and any((v != values[0]).any() for v in values[1:]):
            variable.assign(np.mean(values, axis=0, dtype=np.float64).astype(values[0].dtype))


def _numbered(letter: str, variables: list[keras.Variable]) -> dict[str, NDArray[Any]]:
    return {f"{letter}{index}": np.asarray(variable.numpy()) for index, variable in enumerate(variables)}


def _set_numbered(letter: str, variables: list[keras.Variable], arrays: dict[str, NDArray[Any]]) -> None:
    for index, variable in enumerate(variables):
        variable.assign(arrays[f"{letter}{index}"])


def _pack(arrays: dict[str, NDArray[Any]]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _unpack(data: bytes) -> dict[str, NDArray[Any]]:
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
