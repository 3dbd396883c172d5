"""Where a run is cut into laps must not change a bit, whatever the model keeps."""

from collections.abc import Callable

import keras
import numpy as np
import pytest

from paytrain.run import Checkpoint, Keys
from paytrain.training import state
from paytrain.training.batches import Batches, generator_seeds
from paytrain.training.trainer import Trainer
from tests.unit import keras_models

WORKERS = 3
BATCHES = Batches(samples=100, batch_size=8, world_size=WORKERS, seed=11, shuffle=True)
"""5 steps an epoch, the last with 4 samples: ranks of 2, 1 and 1."""
KEYS = Keys("a-run")


class Memory:
    """Artifacts that live in memory."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put(self, key: str, body: bytes) -> None:
        self.objects[key] = body

    def get(self, key: str) -> bytes:
        return self.objects[key]


class Gang:
    """All ranks of a run in this process. Trainers change ranks from lap to lap, as warm sandboxes do."""

    def __init__(self, build: Callable[[str], keras.Model], x: np.ndarray, y: np.ndarray) -> None:
        self.x, self.y = x, y
        self.trainers: list[Trainer] = []
        for rank in range(WORKERS):
            model = build("float32")
            model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
            trainer = keras_models.trainer(model, "float32", x, y)
            trainer.warm_up(x, y, BATCHES.sizes(rank), set())
            self.trainers.append(trainer)

    def start(self, memory: Memory, checkpoint: Checkpoint) -> None:
        self.trainers = [*self.trainers[1:], self.trainers[0]]
        self.progress = [
            state.load(trainer, memory, KEYS, checkpoint, rank) for rank, trainer in enumerate(self.trainers)
        ]

    def train(self, steps: int) -> None:
        for _ in range(steps):
            step = self.progress[0].step
            global_samples = len(BATCHES.global_rows(step))
            parts = []
            for rank, trainer in enumerate(self.trainers):
                rows = BATCHES.rows(step, rank)
                seeds = generator_seeds(BATCHES.seed, rank, step, len(trainer.seed_states))
                parts.append(trainer.gradient(self.x[rows], self.y[rows], seeds, global_samples))
            gradient = parts[0].gradient.copy()
            sums = parts[0].sums.copy()
            for part in parts[1:]:
                gradient += part.gradient
                sums += part.sums
            for trainer, progress in zip(self.trainers, self.progress, strict=True):
                trainer.apply(gradient, global_samples)
                progress.add(trainer.loss_of(sums[0], global_samples), global_samples, sums[1:])
                if BATCHES.ends_epoch(step):
                    progress.end_epoch(progress.results(trainer))

    def save(self, memory: Memory, lap: int) -> Checkpoint:
        checkpoint = Checkpoint(step=self.progress[0].step, lap=lap, attempt=0)
        for rank, trainer in enumerate(self.trainers):
            state.save(trainer, self.progress[rank], memory, KEYS, checkpoint, rank)
        return checkpoint

    def bits(self) -> list[bytes]:
        return [
            b"".join(np.asarray(v.numpy()).tobytes() for v in [*t.trainable, *t.own, *t.model.optimizer.variables])
            for t in self.trainers
        ]


def fresh_start(build: Callable[[str], keras.Model], x: np.ndarray, y: np.ndarray) -> tuple[Memory, Checkpoint]:
    model = build("float32")
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    trainer = keras_models.trainer(model, "float32", x, y)
    memory, checkpoint = Memory(), Checkpoint(step=0, lap=0, attempt=0)
    state.save(trainer, state.Progress.start(trainer), memory, KEYS, checkpoint, 0)
    return memory, checkpoint


@pytest.mark.parametrize("build", [keras_models.kinked, keras_models.noisy], ids=["conv", "batchnorm-dropout"])
@pytest.mark.parametrize("cuts", [[4], [1, 2, 5, 9]], ids=["at-the-short-batch", "four-cuts"])
def test_laps_do_not_change_a_bit(build: Callable[[str], keras.Model], cuts: list[int]) -> None:
    # given
    x, y = keras_models.digits(100, "float32")
    memory, beginning = fresh_start(build, x, y)
    gang = Gang(build, x, y)
    gang.start(memory, beginning)
    gang.train(12)
    in_one_lap, history = gang.bits(), gang.progress[0].history

    # when
    checkpoint, done = beginning, 0
    for lap, cut in enumerate([*cuts, 12]):
        gang.start(memory, checkpoint)
        gang.train(cut - done)
        checkpoint, done = gang.save(memory, lap), cut

    # then
    assert gang.bits() == in_one_lap
    assert gang.progress[0].history == history
    assert len(history) == 2


def test_replicas_stay_identical_but_for_their_own_state() -> None:
    # given
    x, y = keras_models.digits(100, "float32")
    memory, beginning = fresh_start(keras_models.noisy, x, y)
    gang = Gang(keras_models.noisy, x, y)
    gang.start(memory, beginning)

    # when
    gang.train(7)

    # then
    trainable = [[v.numpy().tobytes() for v in trainer.trainable] for trainer in gang.trainers]
    assert trainable[0] == trainable[1] == trainable[2]
    own = [trainer.own_state() for trainer in gang.trainers]
    assert not np.array_equal(own[0], own[1])


def test_own_state_is_averaged_for_export() -> None:
    # given
    x, y = keras_models.digits(100, "float32")
    memory, beginning = fresh_start(keras_models.noisy, x, y)
    gang = Gang(keras_models.noisy, x, y)
    gang.start(memory, beginning)
    gang.train(3)
    checkpoint = gang.save(memory, 0)
    expected = np.mean([trainer.own_state() for trainer in gang.trainers], axis=0)

    # when
    state.average_own(gang.trainers[0], memory, KEYS, checkpoint, WORKERS)

    # then
    assert gang.trainers[0].own_state() == pytest.approx(expected, rel=1e-6)
