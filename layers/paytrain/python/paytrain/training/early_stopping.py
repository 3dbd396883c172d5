"""Stopping before the last epoch: a pure function of the history, so all ranks decide alike without a vote."""

import re
from collections.abc import Sequence

from paytrain.job import EarlyStopping

_LARGER_IS_BETTER = re.compile(
    r"(acc|accuracy|auc|precision|recall|score|io_u|similarity|correlation|at_sensitivity|at_specificity"
    r"|true_positives|true_negatives)(_\d+)?$"
)
"""Ends of the names that Keras gives to metrics to be maximised; the number tells several of a kind apart."""


def should_stop(history: Sequence[dict[str, float]], rule: EarlyStopping | None) -> bool:
    """Whether the monitored metric has not improved for ``patience`` epochs.

    Counts as ``keras.callbacks.EarlyStopping`` does.

    Parameters
    ----------
    history
        One object per finished epoch.
    """
    if rule is None:
        return False
    sign = 1.0 if larger_is_better(rule.monitor) else -1.0
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


def larger_is_better(monitor: str) -> bool:
    """Whether a metric of this name is to be maximised."""
    return _LARGER_IS_BETTER.search(monitor) is not None
