"""Where a run is cut into laps must not change a bit, whatever the model keeps."""

import functools
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import keras
import numpy as np
import pytest

from paytrain.exchange.wires.residuals import Residuals
from paytrain.run import Checkpoint, Keys
from paytrain.training import state
from paytrain.training.batches import Batches, generator_seeds
from paytrain.training.data import Rows
from paytrain.training.feed import Feed
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

    @contextmanager
    def create(self, key: str) -> Iterator[io.BytesIO]:
        body = io.BytesIO()
        yield body
        self.objects[key] = body.getvalue()

    def open(self, key: str) -> io.BytesIO:
        return io.BytesIO(self.objects[key])


Optimizer = Callable[[], keras.optimizers.Optimizer]


def adam() -> keras.optimizers.Optimizer:
    return keras.optimizers.Adam(0.01)


class Gang:
    """All ranks of a run in this process. Trainers change ranks from lap to lap, as warm sandboxes do."""

    def __init__(
        self, build: Callable[[str], keras.Model], x: np.ndarray, y: np.ndarray, optimizer: Optimizer = adam
    ) -> None:
        self.rows = Rows({"x": x, "y": y})
        self.residuals: list[Residuals | None] = [None] * WORKERS
        self.trainers: list[Trainer] = []
        for rank in range(WORKERS):
            model = build("float32")
            model.compile(optimizer(), "sparse_categorical_crossentropy", metrics=["accuracy"])
            trainer = keras_models.trainer(model, "float32", x, y)
            trainer.warm_up(self.rows, BATCHES.sizes(rank), set())
            self.trainers.append(trainer)

    def start(self, memory: Memory, checkpoint: Checkpoint) -> None:
        self.trainers = [*self.trainers[1:], self.trainers[0]]
        self.progress = [
            state.load(trainer, memory, KEYS, checkpoint, rank, self.residuals[rank])
            for rank, trainer in enumerate(self.trainers)
        ]

    def train(self, steps: int) -> None:
        for _ in range(steps):
            step = self.progress[0].step
            samples = len(BATCHES.global_rows(step))
            parts = []
            for rank, trainer in enumerate(self.trainers):
                seeds = generator_seeds(BATCHES.seed, rank, step, len(trainer.seed_states))
                feed = Feed(self.rows, BATCHES, rank, trainer.divisors(self.rows), trainer.losses.is_sum)
                parts.append(trainer.gradient(feed.batch(step), seeds))
            gradients = self.summed([part.gradient for part in parts])
            sums = functools.reduce(np.add, [part.sums for part in parts])
            for trainer, progress, gradient in zip(self.trainers, self.progress, gradients, strict=True):
                trainer.apply(trainer.gradients(gradient))
                progress.add(trainer.weighted(sums, samples), samples)
                if (step + 1) % BATCHES.steps_per_epoch == 0:
                    progress.end_epoch(progress.results(trainer))

    def summed(self, gradients: list[np.ndarray]) -> list[np.ndarray]:
        """What each rank has after the exchange."""
        return [functools.reduce(np.add, gradients)] * WORKERS

    def save(self, memory: Memory, lap: int) -> Checkpoint:
        checkpoint = Checkpoint(step=self.progress[0].step, lap=lap, attempt=0)
        for rank, trainer in enumerate(self.trainers):
            state.save(trainer, self.progress[rank], memory, KEYS, checkpoint, rank, self.residuals[rank])
        return checkpoint

    def bits(self) -> list[bytes]:
        return [
            b"".join(np.asarray(v.numpy()).tobytes() for v in [*t.trainable, *t.own, *t.model.optimizer.variables])
            for t in self.trainers
        ]


def fresh_start(
    build: Callable[[str], keras.Model], x: np.ndarray, y: np.ndarray, optimizer: Optimizer = adam
) -> tuple[Memory, Checkpoint]:
    model = build("float32")
    model.compile(optimizer(), "sparse_categorical_crossentropy", metrics=["accuracy"])
    trainer = keras_models.trainer(model, "float32", x, y)
    memory, checkpoint = Memory(), Checkpoint(step=0, lap=0, attempt=0)
    state.save(trainer, state.Progress.start(trainer), memory, KEYS, checkpoint, 0)
    return memory, checkpoint


def half_precise(dtype: str) -> keras.Model:
    """Computes in bfloat16, keeps its weights in float32."""
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy("mixed_bfloat16")
    keras.utils.set_random_seed(1)
    dense = keras.layers.Dense(keras_models.CLASSES, "softmax", dtype=dtype)
    return keras.Sequential([keras.layers.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(16), dense])


CUTS = [1, 2, 5, 9]
OPTIMIZERS: dict[str, Optimizer] = {
    "nadam": lambda: keras.optimizers.Nadam(0.01),
    "moving-average": lambda: keras.optimizers.Adam(0.01, use_ema=True, ema_overwrite_frequency=3),
    "accumulated": lambda: keras.optimizers.SGD(0.01, momentum=0.9, gradient_accumulation_steps=2),
    "schedule": lambda: keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.01, 10)),
}


@pytest.mark.parametrize(
    ("build", "cuts", "optimizer"),
    [
        pytest.param(keras_models.kinked, [4], adam, id="conv-at-the-short-batch"),
        pytest.param(keras_models.kinked, CUTS, adam, id="conv"),
        pytest.param(keras_models.noisy, [4], adam, id="batchnorm-dropout-at-the-short-batch"),
        pytest.param(keras_models.noisy, CUTS, adam, id="batchnorm-dropout"),
        pytest.param(half_precise, CUTS, adam, id="bfloat16"),
        *[pytest.param(keras_models.noisy, CUTS, optimizer, id=name) for name, optimizer in OPTIMIZERS.items()],
    ],
)
def test_laps_do_not_change_a_bit(build: Callable[[str], keras.Model], cuts: list[int], optimizer: Optimizer) -> None:
    # given
    x, y = keras_models.digits(100, "float32")
    memory, beginning = fresh_start(build, x, y, optimizer)
    gang = Gang(build, x, y, optimizer)
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
