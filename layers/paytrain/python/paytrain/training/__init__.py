"""Runs Keras: model, data, gradients, laps. Sees the exchange as one call."""
