"""Sums vectors over a channel: patterns written as plain generators, and a driver that performs them. NumPy only."""
