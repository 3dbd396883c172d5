"""Cutting an exchange: every number of workers has segments and a window."""

import pytest

from paytrain.exchange.patterns import PATTERNS
from paytrain.exchange.tuning import dynamodb_item_bytes, tune


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("channel", ["s3", "s3express", "dynamodb", "memcached"])
def test_any_world_is_tuned(channel: str, pattern: str) -> None:
    for workers in range(1, 40):
        for vector_bytes in (0, 4, 4_000_000, 400_000_000):
            tuning = tune(channel, pattern, workers=workers, vector_bytes=vector_bytes)
            assert tuning.segments >= 1
            assert tuning.window >= 1


@pytest.mark.parametrize(
    ("channel", "workers", "vector_bytes", "segments"),
    [
        # Requests to a cache cost the client's time only: segments of a megabyte or more, and more of them
        ("memcached", 16, 1_000_000, 1),
        ("memcached", 16, 2_500_000, 2),
        ("memcached", 16, 6_000_000, 6),
        ("memcached", 16, 89_000_000, 8),
        # 2 · 63 requests of 2 ms on one processor are as much as 12 MB take
        ("s3express", 64, 12_000_000, 1),
        ("s3express", 16, 12_000_000, 2),
        ("s3express", 4, 12_000_000, 4),
        # 64 · 126 requests at 5,500 a second take longer than 12 MB
        ("s3", 64, 12_000_000, 1),
        ("s3", 16, 12_000_000, 2),
        ("s3", 16, 89_000_000, 4),
    ],
)
def test_what_limits_requests_limits_segments(channel: str, workers: int, vector_bytes: int, segments: int) -> None:
    assert tune(channel, "scatter_reduce", workers=workers, vector_bytes=vector_bytes).segments == segments


def test_a_small_vector_spreads_over_a_tables_partitions() -> None:
    # Given a vector of a megabyte, when it is cut into items, then there are many for four partitions
    assert 2**20 / dynamodb_item_bytes(2**20) == 64
    assert dynamodb_item_bytes(2**20 + 1) == 390 * 1024
