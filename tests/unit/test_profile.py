"""A measured profile stands in for the figures that the library ships, as far as it goes."""

import copy
import json
from typing import Any

import pytest

from paytrain import facts
from paytrain.calibration import Samples, combine, describe
from paytrain.exchange.simulator.profile import Latency
from paytrain.planner import profile
from paytrain.planner.profile import KEY, Measured, ProfileError

WHERE = {"date": "2026-11-25", "region": "eu-central-1", "memory_mb": 1769}


class Bucket:
    """Objects as the artifacts bucket has them."""

    def __init__(self, objects: dict[str, bytes] | None = None) -> None:
        self._objects = objects or {}

    def exists(self, key: str) -> bool:
        return key in self._objects

    def get(self, key: str) -> bytes:
        return self._objects[key]


def samples(small_ms: float, large_ms: float) -> Samples:
    """Ten requests of 1 KB that take a bit longer each, three of 1,001,024 bytes; 0.5 ms of CPU each."""
    made = Samples()
    made.service = {1024: [small_ms * (1 + n / 100) for n in range(10)], 1_001_024: [large_ms] * 3}
    made.cpu = {1024: [0.5] * 10, 1_001_024: [4.5] * 3}
    return made


def found(*names: str) -> dict[str, Any]:
    return describe({name: (samples(4.0, 50.18), samples(2.0, 18.09)) for name in names}, WHERE)


def stored(*names: str) -> Bucket:
    return Bucket({KEY: json.dumps(profile.as_json(combine(None, found(*names), 7.5))).encode()})


def test_without_a_calibration_the_built_in_profile_is_used() -> None:
    assert profile.over_built_in(profile.measured(Bucket())) == facts.read("service_profile")


def test_what_was_measured_stands_in_for_what_is_built_in_and_nothing_else_does() -> None:
    # Given a calibration outside the VPC
    built_in = copy.deepcopy(facts.read("service_profile"))
    # When plans are made with it
    used = profile.over_built_in(profile.measured(stored("s3", "dynamodb")))
    # Then its distributions and bandwidths are there, whole
    assert used["s3_standard"]["put"]["quantiles_ms"].keys() == {"min", "p5", "p25", "p50", "p75", "p90", "p95", "p99"}
    assert used["s3_standard"]["put"]["quantiles_ms"]["p50"] == pytest.approx(4.18)
    assert used["s3_standard"]["put"]["stream_mb_s"] == pytest.approx(1_000_000 / 1e6 / 0.050)
    assert used["dynamodb"]["get"]["quantiles_ms"]["min"] == 2.0
    assert used["dynamodb"]["per_kb_extra_ms"]["value"] == pytest.approx((50 + 20) / 2 / 1_000_000 * 1024, rel=1e-3)
    assert used["_meta"]["python_overhead_ms"]["value"] == 0.5
    assert used["lambda_invoke"]["python_tf_container_cold_s"]["value"] == 7.5
    # And all else is as it was, in the library, too
    for part in ("memcached", "lambda_network", "s3_express", "step_functions"):
        assert used[part] == built_in[part]
    assert used["lambda_invoke"]["burst_start_s"] == built_in["lambda_invoke"]["burst_start_s"]
    assert used["dynamodb"]["throughput_caps_mb_s"] == built_in["dynamodb"]["throughput_caps_mb_s"]
    assert facts.read("service_profile") == built_in


def test_the_simulator_draws_from_what_was_measured() -> None:
    used = profile.over_built_in(profile.measured(stored("s3")))

    assert Latency.of(used["s3_standard"]["get"]).at(0.5) == pytest.approx(2.09e-3)


def test_a_calibration_keeps_what_others_have_measured() -> None:
    # Given a calibration outside, when one inside follows on another day
    first = combine(None, found("s3", "dynamodb"), 7.5)
    inside = describe({"memcached": (samples(0.4, 5.0), samples(0.3, 4.0))}, {**WHERE, "date": "2026-12-01"})
    both = combine(first, inside, 8.0)
    # Then both are there, each with its date
    assert both.s3_standard == first.s3_standard
    assert both.memcached is not None
    assert both.meta.measured["s3_standard"].date.isoformat() == "2026-11-25"
    assert both.meta.measured["memcached"].date.isoformat() == "2026-12-01"
    assert both.meta.measured["memcached"].samples == {"1024": 10, "1001024": 3}
    assert both.meta.python_overhead_ms == first.meta.python_overhead_ms
    assert both.lambda_invoke is not None
    assert both.lambda_invoke.python_tf_container_cold_s.value == 8.0


def test_larger_objects_that_are_no_slower_have_no_bandwidth() -> None:
    measured = describe({"s3": (samples(4.0, 0.1), samples(2.0, 22.0))}, WHERE)

    assert "stream_mb_s" not in measured["s3_standard"]["put"]
    assert "stream_mb_s" in measured["s3_standard"]["get"]
    assert Measured.model_validate(measured).s3_standard


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda p: p["s3_standard"]["get"]["quantiles_ms"].update(p50=-1),
            "s3_standard.get.quantiles_ms.p50 = -1 is not",
        ),
        (
            lambda p: p["s3_standard"]["get"]["quantiles_ms"].update(p50=1e9),
            "no quantile may be smaller than the one before",
        ),
        (lambda p: p["s3_standard"]["get"].pop("quantiles_ms"), "s3_standard.get.quantiles_ms is missing"),
        (lambda p: p.update(s4={}), "s4 is not a key of a measured profile"),
        (lambda p: p.pop("_meta"), "_meta is missing from the measured profile"),
    ],
)
def test_a_profile_that_cannot_be_used_is_refused_in_a_sentence(change: Any, sentence: str) -> None:
    # Given a profile that somebody has edited
    edited = json.loads(stored("s3").get(KEY))
    change(edited)
    # When it is read
    with pytest.raises(ProfileError) as refusal:
        profile.over_built_in(profile.measured(Bucket({KEY: json.dumps(edited).encode()})))
    # Then one sentence says where it is, what is wrong, and what to do
    assert sentence in str(refusal.value)
    assert str(refusal.value).startswith(f"{KEY} in the artifacts bucket cannot be used: ")
    assert str(refusal.value).endswith("Delete it, and calibrate again if you wish.")
    assert "\n" not in str(refusal.value)


def test_what_is_no_json_is_refused_too() -> None:
    with pytest.raises(ProfileError, match="cannot be used"):
        profile.over_built_in(profile.measured(Bucket({KEY: b"{"})))
