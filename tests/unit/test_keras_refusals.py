"""What would not train as Keras does is refused by name."""

import keras
import pytest

from paytrain.errors import JobError
from tests.unit import keras_models


class Largest(keras.metrics.Metric):
    """A metric whose state is no sum."""

    def __init__(self) -> None:
        super().__init__(name="largest")
        self.value = self.add_weight(initializer="zeros")

    def update_state(self, y_true: object, y_pred: object, sample_weight: object = None) -> None:
        self.value.assign(keras.ops.maximum(self.value, keras.ops.max(y_pred)))

    def result(self) -> object:
        return self.value


@pytest.mark.parametrize(
    ("loss", "metrics", "complaint"),
    [
        (keras.losses.Dice(), [], "The loss Dice is not supported as compiled"),
        (keras.losses.Tversky(), [], "The loss Tversky is not supported as compiled"),
        (keras.losses.SparseCategoricalCrossentropy(ignore_class=0), [], "The loss SparseCategoricalCrossentropy is"),
        (
            keras.losses.MeanSquaredError(reduction="mean_with_sample_weight"),
            [],
            'The loss reduction "mean_with_sample',
        ),
        ("sparse_categorical_crossentropy", [Largest()], "The metric largest (Largest) is not supported"),
    ],
)
def test_a_loss_or_metric_that_is_no_sum_over_samples_is_refused(
    loss: object, metrics: list[keras.metrics.Metric], complaint: str
) -> None:
    # given
    x, y = keras_models.digits(20, "float32")
    model = keras_models.smooth("float32")
    model.compile("sgd", loss, metrics=metrics)
    one_hot = not isinstance(loss, (str, keras.losses.SparseCategoricalCrossentropy))
    labels = keras.utils.to_categorical(y, keras_models.CLASSES) if one_hot else y

    # when
    with pytest.raises(JobError) as refused:
        keras_models.trainer(model, "float32", x, labels)

    # then
    assert str(refused.value).startswith(complaint)
