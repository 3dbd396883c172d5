"""Figures in docs/operations.md are those of the price list."""

import re

import pytest

from paytrain import facts
from tests.infrastructure.templates import ROOT

HOURS_PER_MONTH = 730
PRICES = facts.read("prices")


@pytest.mark.parametrize("node_type", ["cache.t4g.micro", "cache.m7g.large"])
def test_an_idle_cache_costs_what_the_document_says(node_type: str) -> None:
    # given the row of the node type
    text = (ROOT / "docs" / "operations.md").read_text()
    (row,) = re.findall(rf"^\| cache, .*`{node_type}`.*?\| ([0-9.]+) \|", text, re.MULTILINE)

    # when, then
    hourly = PRICES["elasticache_memcached"]["on_demand_hour"][node_type]
    assert float(row) == pytest.approx(hourly * HOURS_PER_MONTH, abs=0.005)


@pytest.mark.parametrize(
    ("what", "price"),
    [
        ("worker image in ECR", PRICES["ecr"]["private_storage_gb_month"]),
        ("runs, data and checkpoints in S3", PRICES["s3_standard"]["storage_gb_month"][0]["usd"]),
        ("logs", PRICES["cloudwatch"]["logs_storage_gb_month"]),
    ],
)
def test_storage_costs_what_the_document_says(what: str, price: float) -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    (row,) = re.findall(rf"^\| {what} \| ([0-9.]+) per GB", text, re.MULTILINE)

    assert float(row) == pytest.approx(price)
