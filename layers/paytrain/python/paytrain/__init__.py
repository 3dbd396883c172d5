"""Data-parallel training of Keras models on serverless compute.

Imports point one way: ``job``, ``plan``, ``run`` and ``errors`` say what is stored;
``channels`` carry bytes; ``exchange`` sums vectors over a channel (numpy only);
``training`` runs Keras; ``planner`` knows prices. ``store`` is the run's memory on AWS.
"""
