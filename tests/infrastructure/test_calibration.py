"""A calibration: which workers measure what, and that nobody but a worker writes the profile."""

from typing import Any

import pytest

from tests.infrastructure.templates import Synthesised, states

PROFILE = "<StorageArtifacts.Arn>/profile/service_profile.json"


@pytest.fixture(scope="module")
def all_states(aws: Synthesised) -> dict[str, Any]:
    return dict(states(aws.definition()))


def test_only_an_input_that_asks_for_it_leads_to_a_calibration(all_states: dict[str, Any]) -> None:
    assert all_states["Resolve"]["Next"] == "IsCalibration"
    assert all_states["IsCalibration"]["Choices"] == [
        {"Variable": "$.calibrate", "BooleanEquals": True, "Next": "Calibrate"}
    ]
    assert all_states["IsCalibration"]["Default"] == "Prepare"


def test_the_cache_is_measured_from_inside_the_rest_from_outside(all_states: dict[str, Any]) -> None:
    # given
    outside, inside = all_states["Calibrate"], all_states["CalibrateInside"]

    # when
    payload = inside["Parameters"]["Payload"]

    # then
    assert outside["Parameters"]["FunctionName.$"] == "$.single_function"
    assert outside["Parameters"]["Payload"]["channels"] == ["s3", "dynamodb"]
    assert inside["Parameters"]["FunctionName.$"] == "$.function"
    assert payload["channels"] == ["memcached"]
    assert payload["cache_endpoint"].startswith("<CacheCluster.ConfigurationEndpoint.Address>")
    assert payload["cache_item_bytes"] == 8 * 2**20
    assert (outside["Next"], inside["Next"]) == ("CalibrateInside", "Calibrated")


def test_a_directory_bucket_is_measured_from_inside(with_express: Synthesised) -> None:
    payload = dict(states(with_express.definition()))["CalibrateInside"]["Parameters"]["Payload"]

    assert payload["channels"] == ["s3express"]
    assert payload["express_bucket"] == "<StorageExpress>"


def test_without_a_provisioned_cache_there_is_none_to_measure(
    without_cache: Synthesised, own_caches: Synthesised
) -> None:
    for stack in (without_cache, own_caches):
        found = dict(states(stack.definition()))

        assert found["Calibrate"]["Next"] == "Calibrated"
        assert "CalibrateInside" not in found


def test_workers_write_the_profile_and_plan_reads_it(aws: Synthesised) -> None:
    for role in ("WorkersRoleoutside", "WorkersRoleinside"):
        assert PROFILE in aws.allowed(role)["s3:PutObject"]
    plan = aws.allowed("Functionsplanrole")
    assert PROFILE in plan["s3:GetObject"]
    assert PROFILE not in plan["s3:PutObject"]
