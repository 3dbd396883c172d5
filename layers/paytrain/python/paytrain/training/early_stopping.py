"""Stopping before the last epoch: a pure function of the history, so all ranks decide alike without a vote."""

import re
from collections.abc import Sequence

import keras

from paytrain.job import EarlyStopping

_LARGER_IS_BETTER = re.compile(
    r"(acc|accuracy|auc|precision|recall|score|io_u|similarity|correlation|at_sensitivity|at_specificity"
    r"|true_positives|true_negatives)(_\d+)?$"
)
"""Ends of the names of metrics to be maximised, where Keras does not know; the number tells several of a kind apart."""


def should_stop(history: Sequence[dict[str, float]], rule: EarlyStopping | None, *, is_larger_better: bool) -> bool:
    """Whether the monitored metric has not improved for ``patience`` epochs.

    Counts as ``keras.callbacks.EarlyStopping`` does.

    Parameters
    ----------
    history
        One object per finished epoch.
    is_larger_better
        Whether the monitored metric is to be maximised; Prepare has found it out.
    """
    if rule is None:
        return False
    sign = 1.0 if is_larger_better else -1.0
    best: float | None = None
    waited = 0
    for entry in history:
        value = sign * entry[rule.monitor]
        if best is None or value - rule.min_delta > best:
            best, waited = value, 0
        else:
            waited += 1
            if waited >= rule.patience:
                return True
    return False


def larger_is_better(model: keras.Model, monitor: str) -> bool:
    """Whether a metric that the model reports is to be maximised: as Keras knows it, else by its name."""
    name = monitor.removeprefix("val_")
    compiled = model._compile_metrics
    # Keras reports its metrics in this order, under these names.
    reported = dict(zip(compiled.result(), compiled.metrics, strict=True)) if compiled is not None else {}
    direction = getattr(reported.get(name), "_direction", None)
    return _LARGER_IS_BETTER.search(name) is not None if direction is None else direction == "up"
