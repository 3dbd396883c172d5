"""All ranks of a gang in one process, without an exchange: what they compute, summed in rank order."""

import numpy as np

from paytrain.training.batches import Batches, generator_seeds
from paytrain.training.data import Rows
from paytrain.training.feed import Feed
from paytrain.training.state import Progress
from paytrain.training.trainer import Trainer


def feeds_of(trainer: Trainer, rows: Rows, batches: Batches) -> list[Feed]:
    """Every rank's batches."""
    divisors = trainer.divisors(rows)
    return [Feed(rows, batches, rank, divisors, trainer.losses.is_sum) for rank in range(batches.world_size)]


def train_in_process(trainer: Trainer, rows: Rows, batches: Batches, steps: range) -> list[dict[str, float]]:
    """Train one trainer with the parts of all ranks; returns what a history has for each finished epoch."""
    progress, history = Progress.start(trainer), []
    feeds = feeds_of(trainer, rows, batches)
    for step in steps:
        contributions = []
        for rank, feed in enumerate(feeds):
            seeds = generator_seeds(batches.seed, rank, step, len(trainer.seed_states))
            contributions.append(trainer.gradient(feed.batch(step), seeds))
        samples = len(batches.global_rows(step))
        trainer.apply(trainer.gradients(sum(one.gradient for one in contributions)))
        progress.add(trainer.weighted(sum(one.sums for one in contributions), samples), samples)
        if (step + 1) % batches.steps_per_epoch == 0:
            history.append(progress.results(trainer))
            progress.end_epoch({})
    return history


def evaluate_in_process(trainer: Trainer, rows: Rows, batches: Batches) -> dict[str, float]:
    """What the ranks find together at an epoch's end."""
    sums = np.zeros(trainer.metric_elements)
    for feed in feeds_of(trainer, rows, batches):
        for step in range(batches.steps_per_epoch):
            sums += trainer.evaluate(feed.batch(step))
    return trainer.results(sums, len(rows))
