"""The exported model's scores on the validation data, as far as the time goes."""

import time
from collections.abc import Callable

import numpy as np
from botocore.exceptions import ClientError

from paytrain.errors import JobError
from paytrain.plan import Plan
from paytrain.training import sandbox
from paytrain.training.batches import Batches
from paytrain.training.feed import Feed
from paytrain.training.trainer import Trainer

_RESERVE_SECONDS = 2.0
"""For the receipt and the answer to Lambda."""


def evaluate(trainer: Trainer, plan: Plan, seconds_left: Callable[[], float]) -> tuple[dict[str, float], str]:
    """Evaluate as the ranks do at an epoch's end, one after another, while there is time.

    These are the scores of Keras' ``evaluate`` in batches of ``workers`` × ``batch_size``.

    Parameters
    ----------
    seconds_left
        Until the platform kills the invocation.

    Returns
    -------
    tuple
        Scores by Keras' names with ``val_`` before them, and a sentence on how the evaluation went. There are no
        scores unless all samples were seen: then those of the last epoch stand.
    """
    if not plan.prepared.validation:
        return {}, "none: the job has no validation data"
    try:
        rows = sandbox.data_of(plan.prepared.validation)
    except (JobError, ClientError) as error:
        return {}, f"skipped: {error}"
    batches = Batches(len(rows), plan.job.batch_size, plan.workers, seed=0, shuffle=False)
    divisors = trainer.divisors(rows)
    feeds = [Feed(rows, batches, rank, divisors, trainer.losses.is_sum) for rank in range(plan.workers)]
    sums, samples, longest = np.zeros(trainer.metric_elements), 0, 0.0
    for step in range(batches.steps_per_epoch):
        for feed in feeds:
            if seconds_left() < longest + _RESERVE_SECONDS:
                seen = f"cut short after {samples:,} of {len(rows):,} samples" if samples else "skipped"
                return {}, f"{seen}: no time was left"
            began, batch = time.monotonic(), feed.batch(step)
            sums += trainer.evaluate(batch)
            samples += batch.rows
            longest = max(longest, time.monotonic() - began)
    return {f"val_{name}": value for name, value in trainer.results(sums, samples).items()}, "complete"
