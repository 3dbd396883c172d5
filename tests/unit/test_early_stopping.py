"""Early stopping counts as Keras' own callback does."""

import inspect
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from paytrain.job import EarlyStopping
from paytrain.training.early_stopping import larger_is_better, should_stop

EIGHTHS = st.integers(-8, 8).map(lambda n: n / 8)
"""Exact in float32, in which Keras compares."""
VALUES = st.one_of(EIGHTHS, st.sampled_from([float("inf"), float("-inf"), float("nan")]))
NEEDED = {"num_classes": 2, "target_class_ids": [0], "recall": 0.5, "precision": 0.5, "specificity": 0.5,
          "sensitivity": 0.5}  # fmt: skip
"""Arguments that some of Keras' metrics cannot do without."""


def keras_stops_after(history: list[dict[str, float]], rule: EarlyStopping) -> int | None:
    """Epochs that Keras would train, or None if it would go on."""
    mode = "max" if rule.monitor.endswith("accuracy") else "min"
    callback = keras.callbacks.EarlyStopping(rule.monitor, rule.min_delta, rule.patience, mode=mode)
    callback.set_model(SimpleNamespace(stop_training=False))
    callback.on_train_begin()
    for epoch, entry in enumerate(history):
        callback.on_epoch_end(epoch, entry)
        if callback.model.stop_training:
            return epoch + 1
    return None


@settings(deadline=None, max_examples=150)
@given(
    values=st.lists(VALUES, max_size=12),
    monitor=st.sampled_from(["loss", "val_loss", "accuracy", "val_accuracy"]),
    patience=st.integers(0, 4),
    min_delta=st.sampled_from([0.0, 0.125, 0.5]),
)
@example(values=[float("inf"), float("inf"), 1.0], monitor="loss", patience=2, min_delta=0.0)
@example(values=[float("nan"), 1.0, 0.5], monitor="val_loss", patience=2, min_delta=0.0)
def test_stops_when_keras_stops(values: list[float], monitor: str, patience: int, min_delta: float) -> None:
    # Given a history and a rule
    rule = EarlyStopping(monitor=monitor, patience=patience, min_delta=min_delta)
    is_larger_better = monitor.endswith("accuracy")
    history = [{monitor: value} for value in values]
    # When the rule is asked after every epoch
    stops = [
        epochs
        for epochs in range(len(history) + 1)
        if should_stop(history[:epochs], rule, is_larger_better=is_larger_better)
    ]
    # Then it first stops where Keras does, and stays stopped
    first = keras_stops_after(history, rule)
    assert stops == ([] if first is None else list(range(first, len(history) + 1)))


def test_the_comparison_with_keras_sees_stops() -> None:
    # Given that the test above would pass if nothing ever stopped
    history = [{"loss": 1.0}, {"loss": 1.0}, {"loss": 1.0}]
    assert keras_stops_after(history, EarlyStopping(monitor="loss", patience=2)) == 3
    assert keras_stops_after(history, EarlyStopping(monitor="loss", patience=3)) is None


def test_without_a_rule_nothing_stops() -> None:
    assert not should_stop([{"loss": 1.0}] * 10, None, is_larger_better=False)


def keras_metrics() -> list[keras.metrics.Metric]:
    """One of each of Keras' metrics whose direction Keras knows."""
    kinds = {kind for kind in vars(keras.metrics).values() if inspect.isclass(kind)} - {keras.metrics.MeanMetricWrapper}
    metrics = []
    for kind in sorted(kinds, key=lambda kind: kind.__name__):
        if issubclass(kind, keras.metrics.Metric):
            arguments = inspect.signature(kind).parameters
            metrics.append(kind(**{name: value for name, value in NEEDED.items() if name in arguments}))
    return [metric for metric in metrics if hasattr(metric, "_direction")]


def reporting(*metrics: keras.metrics.Metric | str) -> keras.Model:
    """A model that reports metrics, built by what they are given."""
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2, activation="softmax")])
    model.compile("sgd", "categorical_crossentropy", metrics=list(metrics))
    ones = np.ones((1, 3), "float32")
    model.compute_metrics(ones, ones[:, :2], model(ones))
    return model


@pytest.mark.parametrize("metric", keras_metrics(), ids=lambda metric: metric.name)
def test_directions_are_those_of_keras(metric: keras.metrics.Metric) -> None:
    # given a name that says nothing
    is_up = metric._direction == "up"
    compiled = SimpleNamespace(metrics=[metric], result=lambda: {"a_name": 0.0})
    model = SimpleNamespace(_compile_metrics=compiled)

    # when, then
    assert larger_is_better(model, "a_name") is is_up
    assert larger_is_better(model, "val_a_name") is is_up


def test_metrics_are_found_under_the_names_that_keras_reports() -> None:
    # given
    misleading = [keras.metrics.MeanSquaredError(name="accuracy"), keras.metrics.AUC(name="error")]
    model = reporting(*misleading, keras.metrics.MeanAbsoluteError(name="accuracy"))

    # then
    assert list(model._compile_metrics.result()) == ["accuracy", "error", "accuracy_1"]
    assert [larger_is_better(model, name) for name in ("accuracy", "val_error", "accuracy_1")] == [False, True, False]
    assert not larger_is_better(model, "val_loss")


@pytest.mark.parametrize(("name", "is_up"), [("my_accuracy", True), ("val_my_score", True), ("my_error", False)])
def test_a_metric_of_which_keras_knows_nothing_goes_by_its_name(name: str, is_up: bool) -> None:
    model = SimpleNamespace(_compile_metrics=None)

    assert larger_is_better(model, name) is is_up
