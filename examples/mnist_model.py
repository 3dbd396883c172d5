"""A small convolutional network for MNIST, compiled and seeded: 225,402 parameters.

Run as ``python -m examples.mnist_model PATH`` it writes the ``.keras`` file.
"""

import sys

import keras
from keras import layers


def mnist_model(seed: int = 1) -> keras.Model:
    """Build and compile the network; the same seed gives the same initial weights."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(272, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ],
        name="mnist",
    )
    model.compile(
        optimizer=keras.optimizers.Adam(0.002),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


if __name__ == "__main__":
    mnist_model().save(sys.argv[1])
