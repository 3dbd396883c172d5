"""The plan chooses what the job left open, and refuses what the deployment cannot do."""

import json
from typing import Any

import pytest

from paytrain.control.environment import PlanEnvironment
from paytrain.control.plan import DYNAMODB_ITEM_BYTES, first_pace, make_plan, state_of
from paytrain.errors import JobError
from paytrain.job import Job
from paytrain.plan import Plan, steps_per_epoch
from tests.unit.plans import plan, prepared

FUNCTIONS = {
    "1769": {"outside": "small-outside", "inside": "small-inside"},
    "3008": {"outside": "large-outside"},
}


def environment(**changes: Any) -> PlanEnvironment:
    return PlanEnvironment.model_validate(
        {
            "RUN_TABLE": "runs",
            "ARTIFACTS_BUCKET": "artifacts",
            "WORKER_FUNCTIONS": json.dumps(FUNCTIONS),
            "CACHE_ENDPOINT": "cache:11211",
            "CACHE_ITEM_BYTES": "8000000",
            "WORKER_TIMEOUT_SECONDS": "900",
            "PEER_TIMEOUT_SECONDS": "30",
            "GANG_TIMEOUT_SECONDS": "120",
            "MAX_ATTEMPTS": "3",
            **changes,
        }
    )


def planned(job: dict[str, Any], cache: str = "cache:11211", **found: Any) -> Plan:
    return make_plan("run", Job(**job), prepared(**found), environment(CACHE_ENDPOINT=cache))


@pytest.mark.parametrize(
    ("job", "cache", "channel"),
    [
        ({}, "cache:11211", "memcached"),
        ({}, "", "s3"),
        ({"channel": "s3"}, "cache:11211", "s3"),
        ({"channel": "dynamodb"}, "", "dynamodb"),
    ],
)
def test_the_channel(job: dict[str, Any], cache: str, channel: str) -> None:
    # Given a job and a deployment with a cache or without, when the run is planned
    made = planned(job, cache)
    # Then only Memcached needs the cache, the VPC and items of the cache's size
    within = channel == "memcached"
    assert made.channel == channel
    assert made.cache_endpoint == (cache if within else "")
    assert made.function == ("small-inside" if within else "small-outside")
    assert made.single_function == "small-outside"
    assert made.item_bytes == (8_000_000 if within else DYNAMODB_ITEM_BYTES)


@pytest.mark.parametrize(
    ("job", "parameters", "pattern"),
    [
        ({}, 16_384, "all_gather"),
        ({}, 16_385, "scatter_reduce"),
        ({"wire": "float64"}, 8_193, "scatter_reduce"),
        ({"workers": 2}, 10_000_000, "all_gather"),
        ({"pattern": "leader"}, 10_000_000, "leader"),
    ],
)
def test_the_pattern(job: dict[str, Any], parameters: int, pattern: str) -> None:
    assert planned(job, parameters=parameters).pattern == pattern


@pytest.mark.parametrize(
    ("samples", "global_batch_size", "steps"), [(1, 256, 1), (256, 256, 1), (257, 256, 2), (60_000, 256, 235)]
)
def test_steps(samples: int, global_batch_size: int, steps: int) -> None:
    assert steps_per_epoch(samples, global_batch_size) == steps


def test_the_steps_of_a_run() -> None:
    made = planned({"workers": 4, "batch_size": 64, "epochs": 5}, samples=1000)
    assert (made.steps_per_epoch, made.total_steps) == (4, 20)


@pytest.mark.parametrize(
    ("job", "step_seconds", "every"),
    [({}, 0.1, 100), ({}, 7.0, 8), ({}, 100.0, 1), ({}, 0.0, 120), ({"checkpoint_every": 5}, 0.1, 5)],
)
def test_checkpoints_come_once_a_minute_unless_asked_otherwise(
    job: dict[str, Any], step_seconds: float, every: int
) -> None:
    assert planned(job, step_seconds=step_seconds).checkpoint_every == every


@pytest.mark.parametrize(
    ("job", "cache", "sentence"),
    [
        (
            {"channel": "memcached"},
            "",
            'channel = "memcached" is not allowed: the stack was deployed with cache_mode = none.',
        ),
        (
            {"memory_mb": 2048},
            "cache:11211",
            "memory_mb = 2048 is not allowed: worker functions are deployed with 1769, 3008.",
        ),
    ],
)
def test_what_the_deployment_cannot_do_is_refused(job: dict[str, Any], cache: str, sentence: str) -> None:
    with pytest.raises(JobError) as refused:
        planned(job, cache)
    assert str(refused.value) == sentence


def test_a_plan_survives_its_record() -> None:
    made = planned({"early_stopping": {"monitor": "loss"}})
    assert Plan.model_validate_json(made.model_dump_json()) == made


def test_the_first_lap_knows_every_phase_that_can_take_long() -> None:
    # Given 1 MB of gradients, and validation data of which each of 3 ranks has 100 rows in 2 batches of 64
    found = prepared(
        parameters=250_000,
        validation_samples=300,
        metric_elements=3,
        own_elements=0,
        step_seconds=0.2,
        save_seconds=0.7,
        seconds=6.0,
    )
    # When the first lap asks what to expect
    pace = first_pace(plan(prepared=found))
    # Then nothing is expected to take no time: not the epoch's end either, which no lap has seen yet
    assert pace["step"] == 0.2
    assert pace["save"] == 0.7
    assert pace["exchange"] == pytest.approx(0.5 + 2 * 0.1)
    assert pace["epoch_end"] == pytest.approx(2 * 0.2 + 0.5, abs=0.001)


def test_own_statistics_are_exchanged_at_an_epochs_end() -> None:
    without = prepared(validation_samples=300)
    with_own = without.model_copy(update={"own_elements": 1_250_000})
    ends = [first_pace(plan(prepared=found))["epoch_end"] for found in (without, with_own)]
    assert ends[1] - ends[0] == pytest.approx(0.5 + 2 * 1.0)


def test_without_validation_an_epoch_ends_at_once() -> None:
    assert "epoch_end" not in first_pace(plan(prepared=prepared(validation_samples=0)))


def test_the_state_of_a_thousand_ranks_is_small() -> None:
    # Given the largest world, when its state is what Step Functions carries
    state = state_of(plan(workers=1000), lap=3, attempt=1)
    # Then it has every rank once, and stays under 10 KB
    assert state["ranks"] == list(range(1000))
    assert len(json.dumps(state)) < 10_000
