"""A calibration in the twin: workers measure, plans have the figures."""

from collections.abc import Iterator

import pytest

from bench import gang_rounds
from local import calibrate
from paytrain import facts
from paytrain.planner import profile
from paytrain.planner.exchange import Exchange
from paytrain.store import Artifacts
from tests.e2e.deployment import Deployment


@pytest.fixture
def artifacts(main: Deployment) -> Iterator[Artifacts]:
    """Without a profile, before and after: other tests see plans for AWS."""
    bucket = main.stack.artifacts_bucket
    yield Artifacts(bucket)
    main.stack.s3.delete_object(Bucket=bucket, Key=profile.KEY)


def test_workers_measure_every_deployed_channel(main: Deployment, artifacts: Artifacts) -> None:
    # given a stack that has never been calibrated
    assert profile.measured(artifacts) is None

    # when
    execution = main.start({"calibrate": True})
    snapshot = main.wait(execution)

    # then
    assert snapshot.status == "SUCCEEDED", snapshot.cause
    assert [state.name for state in snapshot.states] == ["Resolve", "Calibrate", "CalibrateInside"]
    found = profile.measured(artifacts)
    assert found is not None
    assert found.meta.measured.keys() == {"s3_standard", "dynamodb", "memcached", "lambda_invoke"}
    assert found.meta.measured["memcached"].memory_mb == 1769
    used = profile.over_built_in(profile.measured(artifacts))
    assert used["memcached"]["get"]["quantiles_ms"]["p50"] < used["s3_standard"]["get"]["quantiles_ms"]["p50"]
    assert used["lambda_invoke"]["python_tf_container_cold_s"]["value"] > 0

    # and a person can read it
    shown = calibrate.table(profile.as_json(found), facts.read("service_profile"))
    assert shown.row_count == 6
    assert len(calibrate.others(profile.as_json(found), facts.read("service_profile"))) == 3


@pytest.mark.parametrize("given", [{"calibrate": False}, {"calibrate": True, "workers": 2}])
def test_a_calibration_that_asks_for_more_is_refused(main: Deployment, given: dict[str, object]) -> None:
    run = main.run(given)

    assert run.snapshot.status == "FAILED"
    assert run.snapshot.cause.endswith("is not allowed: it must be true, and stand alone.")


def test_rounds_of_a_gang_are_measured_as_the_workers(main: Deployment) -> None:
    for channel in ("s3", "dynamodb"):
        # when two processes that compute for 10 ms sum 64 KB again and again
        seconds = gang_rounds.measure(Exchange(channel, "scatter_reduce", 2, 16_000), 0.01)

        # then a round took time, and not all that a peer is waited for
        assert 0 < seconds < 60
