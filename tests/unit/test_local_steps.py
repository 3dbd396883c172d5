"""Steps that every rank makes alone, and the mean that all take once a round."""

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import keras
import numpy as np
import pytest

from paytrain.exchange.all_reduce import AllReduce, Summed
from paytrain.exchange.driver import Driver
from paytrain.exchange.frame import Tally
from paytrain.exchange.patterns import PATTERNS
from paytrain.plan import Plan
from paytrain.run import Checkpoint
from paytrain.training import state
from paytrain.training.batches import Batches
from paytrain.training.data import Rows
from paytrain.training.feed import Feed
from paytrain.training.local_steps import LocalReplica, state_elements, state_variables
from paytrain.training.replica import Share
from paytrain.training.rounds import Round, round_at
from paytrain.training.trainer import Trainer
from tests.memory_channel import MemoryChannel
from tests.unit import keras_models
from tests.unit.plans import plan
from tests.unit.test_all_reduce import patience
from tests.unit.test_keras_resume import KEYS, Memory

WORKERS = 3
BATCHES = Batches(samples=100, batch_size=8, world_size=WORKERS, seed=11, shuffle=True)
"""5 steps an epoch, the last with 4 samples: ranks of 2, 1 and 1."""
SHORTER = Batches(samples=98, batch_size=8, world_size=WORKERS, seed=11, shuffle=True)
"""An epoch's last step has 2 samples: one rank has none."""

Optimizer = Callable[[], keras.optimizers.Optimizer]
Exchange = Callable[[list[Share]], list[Summed]]

OPTIMIZERS: dict[str, Optimizer] = {
    "momentum": lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "adam": lambda: keras.optimizers.Adam(0.01),
    "nadam": lambda: keras.optimizers.Nadam(0.01),
    "moving-average": lambda: keras.optimizers.Adam(0.01, use_ema=True, ema_overwrite_frequency=3),
    "schedule": lambda: keras.optimizers.SGD(
        keras.optimizers.schedules.PiecewiseConstantDecay([4, 7], [0.1, 0.05, 1.0])
    ),
}


def compiled(build: Callable[[str], keras.Model], dtype: str, optimizer: Optimizer) -> keras.Model:
    model = build(dtype)
    model.compile(optimizer(), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def in_memory(shares: list[Share]) -> list[Summed]:
    """The sum in rank order, to each rank its own copy."""
    tally = functools.reduce(Tally.plus, [Tally(share.samples, 0, share.sums) for share in shares])
    return [Summed(functools.reduce(np.add, [share.values for share in shares]), tally) for _ in shares]


def over(pattern: str, segments: int) -> Exchange:
    """A real exchange over a channel in memory."""
    rounds = iter(range(1000))

    def exchange(shares: list[Share]) -> list[Summed]:
        channel, prefix = MemoryChannel(), str(next(rounds))

        def of(rank: int) -> Summed:
            share = shares[rank]
            with closing(Driver(channel, puts_at_once=2, gets_at_once=4)) as driver:
                settings = {"pattern": pattern, "segments": segments, "prefix": prefix, "wire": "float32"}
                mine = AllReduce(driver, rank=rank, world_size=len(shares), **settings)
                return mine.sum_gradient(share.values, Tally(share.samples, 0, share.sums), patience())

        with ThreadPoolExecutor(len(shares)) as pool:
            return list(pool.map(of, range(len(shares))))

    return exchange


class Gang:
    """All ranks of a run in this process. Trainers change ranks from lap to lap, as warm sandboxes do."""

    def __init__(
        self,
        build: Callable[[str], keras.Model],
        dtype: str = "float32",
        *,
        optimizer: Optimizer = OPTIMIZERS["adam"],
        batches: Batches = BATCHES,
        sync_every: int = 2,
        exchange: Exchange = in_memory,
    ) -> None:
        x, y = keras_models.digits(batches.samples, dtype)
        self.rows, self.batches, self.dtype, self.exchange = Rows({"x": x, "y": y}), batches, np.dtype(dtype), exchange
        self.plan = plan(sync_every=sync_every, steps_per_epoch=batches.steps_per_epoch)
        self.trainers = [
            keras_models.trainer(compiled(build, dtype, optimizer), dtype, x, y) for _ in range(batches.world_size)
        ]
        self.memory, self.checkpoint = Memory(), Checkpoint(step=0, lap=0, attempt=0)
        state.save(self.trainers[0], state.Progress.start(self.trainers[0]), self.memory, KEYS, self.checkpoint, 0)

    def start(self, checkpoint: Checkpoint) -> None:
        self.trainers = [*self.trainers[1:], self.trainers[0]]
        self.replicas = []
        for rank, trainer in enumerate(self.trainers):
            trainer.warm_up(self.rows, self.batches.sizes(rank), set())
            feed = Feed(self.rows, self.batches, rank, trainer.divisors(self.rows), trainer.losses.is_sum)
            seed, workers = self.batches.seed, self.batches.world_size
            self.replicas.append(LocalReplica(trainer, feed, seed, rank, workers, self.dtype))
        self.progress = [
            state.load(trainer, self.memory, KEYS, checkpoint, rank) for rank, trainer in enumerate(self.trainers)
        ]

    def train(self, until: int) -> None:
        while (step := self.progress[0].step) < until:
            this = round_at(self.plan, step)
            for replica in self.replicas:
                for index in range(step, step + this.steps):
                    replica.step(index)
            results = self.exchange([replica.share() for replica in self.replicas])
            for trainer, replica, progress, summed in zip(
                self.trainers, self.replicas, self.progress, results, strict=True
            ):
                replica.apply(replica.received(summed.values))
                progress.add(replica.sums(summed.tally), summed.tally.samples, this.steps)
                if this.ends_epoch:
                    progress.end_epoch(progress.results(trainer))

    def save(self, lap: int) -> Checkpoint:
        checkpoint = Checkpoint(step=self.progress[0].step, lap=lap, attempt=0)
        for rank, trainer in enumerate(self.trainers):
            state.save(trainer, self.progress[rank], self.memory, KEYS, checkpoint, rank)
        return checkpoint

    def bits(self) -> list[bytes]:
        """Of every rank: weights, own state, optimizer."""
        return [bits_of(t, [*t.trainable, *t.own, *t.model.optimizer.variables]) for t in self.trainers]


def bits_of(trainer: Trainer, variables: list[keras.Variable]) -> bytes:
    return b"".join(np.asarray(variable.numpy()).tobytes() for variable in variables)


def plain_keras(gang: Gang, optimizer: Optimizer, build: Callable[[str], keras.Model], steps: int) -> keras.Model:
    """Local SGD with a Keras model per rank: ``train_on_batch``, and once a round the mean of what changes."""
    x, y = gang.rows.arrays["x"], gang.rows.arrays["y"]
    models = [compiled(build, gang.dtype.name, optimizer) for _ in gang.trainers]
    for model in models:
        model.optimizer.build(model.trainable_variables)
    for step in range(steps):
        for rank, model in enumerate(models):
            rows = gang.batches.rows(step, rank)
            model.train_on_batch(x[rows], y[rows])
        if (step % 5 + 1) % gang.plan.sync_every == 0 or step % 5 == 4:
            for same in zip(*(state_variables(model) for model in models), strict=True):
                mean = np.mean([variable.numpy() for variable in same], axis=0)
                for variable in same:
                    variable.assign(mean)
    return models[0]


@pytest.mark.parametrize(
    ("optimizer", "sync_every"),
    [("momentum", 3), ("adam", 2), ("adam", 10), ("nadam", 2), ("moving-average", 2), ("schedule", 3)],
)
def test_weights_and_state_are_those_of_local_sgd_in_plain_keras(optimizer: str, sync_every: int) -> None:
    # Given three epochs of five steps, the last of which has fewer samples
    steps = 15
    gang = Gang(keras_models.kinked, "float64", optimizer=OPTIMIZERS[optimizer], sync_every=sync_every)
    reference = plain_keras(gang, OPTIMIZERS[optimizer], keras_models.kinked, steps)
    gang.start(gang.checkpoint)
    before = np.concatenate([v.numpy().ravel() for v in state_variables(gang.trainers[0].model)])
    # When all ranks train
    gang.train(steps)
    # Then weights and optimizer state are the reference's, to rounding
    ours, theirs = (
        np.concatenate([v.numpy().ravel() for v in state_variables(model)])
        for model in (gang.trainers[0].model, reference)
    )
    assert np.abs(ours - before).max() > 1e-2, "training has moved them"
    assert np.abs(ours - theirs).max() <= 1e-12
    assert [int(trainer.model.optimizer.iterations) for trainer in gang.trainers] == [steps] * WORKERS


def test_metrics_are_those_of_all_samples_seen() -> None:
    # Given that a step changes nothing, so that a history is what evaluating the data would find
    gang = Gang(keras_models.kinked, "float64", optimizer=lambda: keras.optimizers.SGD(0.0))
    model = gang.trainers[0].model
    expected = model.evaluate(gang.rows.arrays["x"], gang.rows.arrays["y"], verbose=0, return_dict=True)
    gang.start(gang.checkpoint)
    # When an epoch is trained, then its entry weighs every sample alike
    gang.train(5)
    assert [progress.history for progress in gang.progress] == [gang.progress[0].history] * WORKERS
    assert gang.progress[0].history[0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("build", "batches"),
    [
        pytest.param(keras_models.noisy, BATCHES, id="batchnorm-dropout"),
        pytest.param(keras_models.kinked, SHORTER, id="one-rank-has-no-sample"),
    ],
)
def test_laps_do_not_change_a_bit(build: Callable[[str], keras.Model], batches: Batches) -> None:
    # Given a run in one lap
    gang = Gang(build, batches=batches)
    gang.start(gang.checkpoint)
    gang.train(15)
    in_one_lap, history = gang.bits(), gang.progress[0].history
    # When it is cut into laps, one of them tried twice, at rounds and at epochs' ends
    checkpoint = gang.checkpoint
    for lap, cut in enumerate([2, 5, 9, 15]):
        if lap == 2:
            gang.start(checkpoint)
            gang.train(cut)
        gang.start(checkpoint)
        gang.train(cut)
        checkpoint = gang.save(lap)
    # Then nothing differs
    assert gang.bits() == in_one_lap
    assert gang.progress[0].history == history


def test_replicas_are_identical_after_a_round_and_flat_patterns_agree() -> None:
    # Given the sum in rank order
    gang = Gang(keras_models.kinked)
    gang.start(gang.checkpoint)
    gang.train(5)
    expected = gang.bits()[0]
    for pattern in PATTERNS:
        # When the changes travel by a pattern
        gang.exchange = over(pattern, segments=3)
        gang.start(gang.checkpoint)
        gang.train(5)
        # Then all ranks have the same bits
        assert gang.bits() == [gang.bits()[0]] * WORKERS
        # And they are those of the sum, unless the pattern adds in another order
        assert gang.bits()[0] == expected or pattern == "hierarchical"


def test_what_is_exchanged_is_weights_and_the_optimizers_floating_state() -> None:
    model = compiled(keras_models.noisy, "float32", OPTIMIZERS["adam"])
    model.optimizer.build(model.trainable_variables)
    trainable = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    assert state_elements(model) == 3 * trainable


@pytest.mark.parametrize(
    ("sync_every", "step", "expected"),
    [
        (1, 8, Round(False, False, 1)),
        (1, 9, Round(True, True, 1)),
        (4, 0, Round(False, False, 4)),
        (4, 4, Round(False, True, 4)),
        # An epoch's last round is shorter.
        (4, 8, Round(True, False, 2)),
        (4, 10, Round(False, True, 4)),
        (100, 0, Round(True, True, 10)),
    ],
)
def test_rounds(sync_every: int, step: int, expected: Round) -> None:
    # Given epochs of 10 steps and a checkpoint every 7, or with every step's round every 10
    made: Plan = plan(sync_every=sync_every, steps_per_epoch=10, checkpoint_every=7 if sync_every > 1 else 10)
    assert round_at(made, step) == expected
