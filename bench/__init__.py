"""Benchmarks: what `make bench` measures and writes into out/bench/."""
