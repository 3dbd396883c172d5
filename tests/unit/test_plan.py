"""The plan chooses what the job left open, and refuses what the deployment cannot do."""

import json
from typing import Any

import pytest

from paytrain.control.environment import PlanEnvironment
from paytrain.control.plan import make_plan, state_of
from paytrain.control.reserve import first_pace
from paytrain.errors import JobError
from paytrain.job import Job
from paytrain.plan import Plan, Prepared, steps_per_epoch
from tests.unit.plans import plan, prepared, spent

FUNCTIONS = {
    "1769": {"outside": "small-outside", "inside": "small-inside"},
    "3008": {"outside": "large-outside"},
}

NOW = 1_800_000_000.0


def environment(**changes: Any) -> PlanEnvironment:
    return PlanEnvironment.model_validate(
        {
            "RUN_TABLE": "runs",
            "ARTIFACTS_BUCKET": "artifacts",
            "WORKER_FUNCTIONS": json.dumps(FUNCTIONS),
            "CACHE_MODE": "provisioned",
            "CACHE_PREFIX": "paytrain-dev",
            "CACHE_ENDPOINT": "cache:11211",
            "CACHE_ITEM_BYTES": "8000000",
            "CACHE_NODE_TYPE": "cache.t4g.micro",
            "CACHE_NODES": "1",
            "EXPRESS_BUCKET": "exchange--use1-az4--x-s3",
            "WORKER_TIMEOUT_SECONDS": "900",
            "PEER_TIMEOUT_SECONDS": "30",
            "GANG_TIMEOUT_SECONDS": "120",
            "MAX_ATTEMPTS": "3",
            "NOTIFIES": "false",
            **changes,
        }
    )


def planned(job: dict[str, Any], cache: str = "cache:11211", **found: Any) -> Plan:
    mode = "provisioned" if cache else "none"
    return plan_of(Job(**job), prepared(**found), environment(CACHE_MODE=mode, CACHE_ENDPOINT=cache))


def plan_of(job: Job, found: Prepared, deployment: PlanEnvironment) -> Plan:
    """Of an execution that began 40 s ago, whose Prepare took 12 s in all."""
    prepare = spent("prepare", init_seconds=5.0, seconds=7.0)
    return make_plan("run", job, found, deployment, started=NOW - 40, prepare=prepare, most_workers=100)


@pytest.mark.parametrize(
    ("job", "cache", "channel"),
    [
        ({"channel": "memcached"}, "cache:11211", "memcached"),
        ({"channel": "s3"}, "cache:11211", "s3"),
        ({"channel": "dynamodb"}, "", "dynamodb"),
        ({"channel": "s3express"}, "cache:11211", "s3express"),
        ({"channel": "s3express"}, "", "s3express"),
    ],
)
def test_the_channel(job: dict[str, Any], cache: str, channel: str) -> None:
    # Given a job and a deployment with a cache or without, when the run is planned
    made = planned(job, cache)
    # Then only Memcached needs the cache and items of its size, S3 Express its bucket, and both the VPC
    assert made.channel == channel
    assert made.cache_endpoint == (cache if channel == "memcached" else "")
    assert made.express_bucket == ("exchange--use1-az4--x-s3" if channel == "s3express" else "")
    assert made.function == ("small-inside" if channel in ("memcached", "s3express") else "small-outside")
    assert made.single_function == "small-outside"
    if channel == "memcached":
        assert made.item_bytes == 8_000_000


@pytest.mark.parametrize(("channel", "cache_id"), [("memcached", "paytrain-dev-acba25512100f80b"), ("s3", "")])
def test_where_runs_have_their_own_caches_only_one_over_memcached_gets_one(channel: str, cache_id: str) -> None:
    # Given a deployment whose runs make clusters of their own, when a run is planned
    own = environment(CACHE_MODE="per_execution", CACHE_ENDPOINT="")
    made = plan_of(Job(channel=channel), prepared(), own)
    # Then it is told of one only over Memcached, and nobody knows yet where it will be
    assert (made.channel == "memcached") == bool(cache_id)
    assert (made.cache_id, made.cache_endpoint) == (cache_id, "")
    assert state_of(made, 0, 0)["cache_id"] == cache_id


@pytest.mark.parametrize("wire", ["bfloat16", "float16", "int8", "topk"])
def test_a_lossy_wire_is_cut_alike_on_every_channel(wire: str) -> None:
    # Given a vector that every channel would cut in another way, when it is rounded on its way
    cuts = {
        planned({"channel": channel, "wire": wire, "pattern": "scatter_reduce"}, parameters=3_000_000).segments
        for channel in ("s3", "dynamodb", "memcached")
    }
    # Then it is cut alike
    assert len(cuts) == 1


@pytest.mark.parametrize(("parameters", "item_bytes"), [(2**18, 16 * 1024), (2**18 + 1, 390 * 1024)])
def test_dynamodb_items_are_small_up_to_a_megabyte(parameters: int, item_bytes: int) -> None:
    assert planned({"channel": "dynamodb"}, parameters=parameters).item_bytes == item_bytes


@pytest.mark.parametrize(
    ("channel", "workers", "parameters", "segments", "window"),
    [
        ("s3", 16, 1_000, 1, 15),
        ("s3", 16, 22_250_000, 4, 7),
        ("s3", 64, 3_000_000, 1, 48),
        ("dynamodb", 4, 250_000, 4, 2),
        ("s3", 1, 22_250_000, 1, 1),
    ],
)
def test_the_exchange_is_cut_for_its_channel(
    channel: str, workers: int, parameters: int, segments: int, window: int
) -> None:
    made = planned({"channel": channel, "workers": workers, "pattern": "scatter_reduce"}, parameters=parameters)
    assert (made.segments, made.window) == (segments, window)


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


def test_a_step_that_no_lap_has_time_for_is_refused() -> None:
    # Given a step and a checkpoint that take as long as an invocation may, and a little more
    pinned = {"channel": "s3", "pattern": "scatter_reduce"}
    planned(pinned, step_seconds=898, save_seconds=2)
    with pytest.raises(JobError) as refused:
        planned(pinned, step_seconds=899, save_seconds=2)
    # Then the sentence says so
    assert str(refused.value) == (
        "batch_size = 64 is not allowed: a step and a checkpoint take 901 s, and workers have 900 s "
        "(worker_timeout_seconds); lower it, or raise memory_mb."
    )


def test_local_steps_exchange_the_optimizers_state_as_well() -> None:
    # Given a gradient, and a state three times as large
    found = {"parameters": 1_000_000, "state_elements": 3_000_000}
    # When it is planned with and without local steps, then expectations follow from what travels
    assert first_pace(planned({}, **found))["exchange"] == pytest.approx(0.5 + 2 * 4_000_000 / 1e7)
    local = planned({"sync_every": 4}, **found)
    assert local.sync_every == 4
    assert first_pace(local)["exchange"] == pytest.approx(0.5 + 2 * 12_000_000 / 1e7)
    # And one worker, which exchanges nothing, makes no local steps
    assert planned({"sync_every": 4, "workers": 1}, **found).sync_every == 1


def test_local_steps_that_no_lap_has_time_for_are_refused() -> None:
    with pytest.raises(JobError) as refused:
        planned({"sync_every": 100}, step_seconds=9, save_seconds=2)
    assert str(refused.value) == (
        "sync_every = 100 is not allowed: 100 steps and a checkpoint take 902 s, and workers have 900 s "
        "(worker_timeout_seconds); lower it, or raise memory_mb."
    )


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
        is_larger_better=False,
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


LARGE = 25_000_000
"""Parameters: two rounds of 4 workers are 800 MB, of which the smallest node holds 412 MiB."""


def test_a_cache_that_cannot_hold_two_rounds_is_refused() -> None:
    with pytest.raises(JobError) as refused:
        plan_of(Job(workers=4, channel="memcached"), prepared(parameters=LARGE), environment())
    assert str(refused.value) == (
        'channel = "memcached" is not allowed: two rounds of 4 workers take 763 MB, and 1 × cache.t4g.micro hold '
        '412 MB; deploy with a larger cache_node_type or more cache_nodes, or use channel = "s3".'
    )


@pytest.mark.parametrize(
    ("wire", "own", "has"),
    [
        ("float32", False, False),
        ("float32", True, True),
        ("int8", False, True),
        ("topk", True, True),
        ("bfloat16", False, False),
    ],
)
def test_ranks_have_checkpoint_parts_for_their_own_state_or_for_residuals(wire: str, own: bool, has: bool) -> None:
    assert planned({"wire": wire}, has_own_state=own).has_rank_parts == has
