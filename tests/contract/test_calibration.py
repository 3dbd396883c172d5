"""Calibration on real servers: what is measured is of each channel, and plans take it."""

import json
from collections.abc import Iterator

import boto3
import pytest

from paytrain import calibration, store
from paytrain.calibration import calibrate
from paytrain.channels.open import open_channel
from paytrain.errors import ChannelError
from paytrain.planner import profile
from paytrain.store import Artifacts
from tests.contract.conftest import BUCKET, MIB, TABLE, Service, plan

ARTIFACTS = "artifacts-of-calibrations"
NAMES = {"s3": "s3_standard", "dynamodb": "dynamodb", "memcached": "memcached"}


@pytest.fixture(scope="module", autouse=True)
def artifacts(aws: None) -> Iterator[Artifacts]:
    store.client.cache_clear()
    boto3.client("s3").create_bucket(Bucket=ARTIFACTS)
    yield Artifacts(ARTIFACTS)
    store.client.cache_clear()


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few requests, and what Lambda says of itself."""
    sizes = dict.fromkeys(NAMES, ((1024, 10), (64 * 1024, 3), (256 * 1024, 2)))
    monkeypatch.setattr(calibration, "SIZES", sizes)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1769")


def test_measuring_leaves_nothing_and_gives_a_sample_for_every_request(service: Service) -> None:
    # given a channel to a real server
    channel = service.open()

    # when
    writing, reading = calibration.measure(channel, ((1024, 10), (256 * 1024, 2)), "calibration/run")

    # then
    for samples in (writing, reading):
        assert {size: len(times) for size, times in samples.service.items()} == {1024: 10, 256 * 1024: 2}
        assert all(time > 0 for times in samples.service.values() for time in times)
    deletes = channel.usage.snapshot().get("memcached_delete", 0)
    assert deletes in (0, 10 + 2 + calibration._WARM_UPS)


def test_every_channel_that_is_reached_is_measured_and_stored(artifacts: Artifacts, cache_8m: str) -> None:
    # given an account that has never been calibrated
    assert profile.measured(artifacts) is None
    places = {"artifacts": artifacts, "exchange_bucket": BUCKET, "exchange_table": TABLE}

    # when a worker outside measures, and then one inside
    calibrate("run-1", ["s3", "dynamodb"], **places)
    calibrate("run-1", ["memcached"], **places, cache_endpoint=cache_8m, cache_item_bytes=8 * MIB)

    # then plans have all figures, in order, and the others of the library
    used = profile.over_built_in(profile.measured(artifacts))
    measured = json.loads(artifacts.get(profile.KEY))
    assert measured.keys() == {"_meta", "s3_standard", "dynamodb", "memcached", "lambda_invoke"}
    for channel, name in NAMES.items():
        for operation in ("get", "set" if channel == "memcached" else "put"):
            quantiles = list(used[name][operation]["quantiles_ms"].values())
            assert quantiles == sorted(quantiles)
            assert quantiles[0] > 0
        taken = measured["_meta"]["measured"][name]
        assert taken["samples"] == {"1024": 10, "65536": 3, "262144": 2}
        assert (taken["region"], taken["memory_mb"]) == ("us-east-1", 1769)
    assert used["lambda_network"]["baseline_mb_s"] == 75


def test_a_cache_that_forgets_at_once_is_not_measured(cache: str) -> None:
    # given a channel that has lost what was written a moment before
    channel = open_channel(plan("memcached", MIB, cache), exchange_bucket=BUCKET, exchange_table=TABLE)
    channel.get = lambda key, part: None

    # when, then
    with pytest.raises(ChannelError, match="was read otherwise than it was written"):
        calibration.measure(channel, ((1024, 1),), "calibration/run")
