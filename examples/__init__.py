"""Models, data sets and execution inputs to start from."""
