"""Stopping before the last epoch: a pure function of the history, so all ranks decide alike without a vote."""

from collections.abc import Sequence

from paytrain.job import EarlyStopping

_LARGER_IS_BETTER = ("acc", "accuracy", "auc", "precision", "recall", "score", "iou", "positives", "negatives")


def should_stop(history: Sequence[dict[str, float]], rule: EarlyStopping | None) -> bool:
    """Whether the monitored metric has not improved for ``patience`` epochs, as ``keras.callbacks.EarlyStopping`` counts.

    Parameters
    ----------
    history
        One object per finished epoch.
    """
    if rule is None:
        return False
    sign = 1.0 if rule.monitor.endswith(_LARGER_IS_BETTER) else -1.0
    best, waited = float("-inf"), 0
    for epoch, entry in enumerate(history):
        value = sign * entry[rule.monitor]
        if value - rule.min_delta > best:
            best, waited = value, 0
        else:
            waited += 1
            if waited >= rule.patience and epoch > 0:
                return True
    return False
