"""What a job leaves to "auto" is chosen by the planner among what is deployed, and the plan says what it looked at."""

import json
import subprocess
import sys
from typing import Any

import pytest

from paytrain.control.choose import asks_planner
from paytrain.errors import JobError
from paytrain.job import Job, parse_job
from paytrain.plan import Plan
from tests.unit.plans import prepared
from tests.unit.test_plan import environment, plan_of

MNIST = {"parameters": 110_000, "state_elements": 330_000, "samples": 60_000, "data_bytes": 188_000_000}
EVERYTHING = {"workers": "auto", "memory_mb": "auto", "wire": "auto", "sync_every": "auto"}
BOTH = {
    "WORKER_FUNCTIONS": json.dumps(
        {size: {"outside": f"{size}-outside", "inside": f"{size}-inside"} for size in ("1769", "3008")}
    )
}


def planned(job: dict[str, Any], **found: Any) -> Plan:
    return plan_of(Job(**job), prepared(**{**MNIST, "step_seconds": 0.05, **found}), environment(**BOTH))


def test_the_planner_is_asked_unless_everything_is_pinned() -> None:
    pinned = {"channel": "s3", "pattern": "leader"}
    assert asks_planner(Job())
    assert not asks_planner(Job(**pinned))
    assert all(asks_planner(Job(**(pinned | {key: "auto"}))) for key in (*EVERYTHING, *pinned))
    made = planned(pinned)
    assert (made.channel, made.pattern, made.considered) == ("s3", "leader", None)


@pytest.mark.parametrize(
    ("workers", "parameters", "cache_node_type", "channel", "pattern"),
    [
        (4, 1_000, "cache.t4g.micro", "memcached", "all_gather"),
        (64, 1_000, "cache.t4g.micro", "memcached", "hierarchical"),
        # Over a node of 8 MB/s what is longer is slower than over S3.
        (4, 225_402, "cache.t4g.micro", "s3", "all_gather"),
        (4, 225_402, "cache.m7g.large", "memcached", "scatter_reduce"),
        (4, 25_000_000, "cache.m7g.large", "s3", "scatter_reduce"),
    ],
)
def test_channel_and_pattern_suit_the_model_the_gang_and_the_cache(
    workers: int, parameters: int, cache_node_type: str, channel: str, pattern: str
) -> None:
    # Given a job that pins all but who carries its gradients
    job, found = Job(workers=workers), prepared(**MNIST | {"parameters": parameters, "state_elements": 3 * parameters})
    # When it is planned
    made = plan_of(job, found, environment(CACHE_NODE_TYPE=cache_node_type, EXPRESS_BUCKET=""))
    # Then the planner chooses, and says what from
    assert (made.channel, made.pattern) == (channel, pattern)
    assert made.considered is not None
    assert (made.considered.chosen.channel, made.considered.chosen.pattern) == (channel, pattern)


@pytest.mark.parametrize("limits", [{"deadline_minutes": 1}, {"budget_usd": 0.0001}])
def test_limits_that_no_channel_keeps_end_a_run_that_leaves_only_the_channel_open(limits: dict[str, Any]) -> None:
    made = planned(limits, step_seconds=10.0)
    assert made.considered is not None
    assert made.considered.chosen.seconds > 60


def test_a_timeout_that_is_too_short_for_the_planner_does_not_keep_it_from_choosing_a_channel() -> None:
    short = environment(WORKER_TIMEOUT_SECONDS="10")
    assert plan_of(Job(), prepared(), short).channel == plan_of(Job(), prepared(), environment()).channel


def test_everything_can_be_left_to_the_planner() -> None:
    # When nothing is pinned
    made = planned(EVERYTHING)
    # Then the plan has a value for everything, within what deployment and account allow
    assert made.workers <= 100
    assert made.memory_mb in (1769, 3008)
    assert made.wire in ("float32", "bfloat16", "int8")
    assert made.sync_every in (1, 2, 4, 8)
    side = "inside" if made.channel in ("memcached", "s3express") else "outside"
    assert (made.function, made.single_function) == (f"{made.memory_mb}-{side}", f"{made.memory_mb}-outside")
    assert made.steps_per_epoch == -(-60_000 // (64 * made.workers))
    # And says what was considered, in a few lines
    looked_at = made.considered
    assert looked_at is not None
    assert looked_at.ways > len(looked_at.front) + len(looked_at.others)
    assert looked_at.reasons
    chosen = looked_at.chosen
    assert chosen.seconds > 0
    assert chosen.usd > 0
    assert {key: getattr(made, key) for key in chosen.model_dump(exclude={"seconds", "usd"})} == chosen.model_dump(
        exclude={"seconds", "usd"}
    )
    assert len(made.model_dump_json()) < 30_000


@pytest.mark.parametrize(
    "pinned", [{"workers": 8}, {"memory_mb": 3008}, {"channel": "s3"}, {"pattern": "all_gather"}, {"wire": "bfloat16"}]
)
def test_what_is_pinned_stays(pinned: dict[str, Any]) -> None:
    made = planned({**EVERYTHING, **pinned})
    ((key, value),) = pinned.items()
    assert getattr(made, key) == value


def test_local_steps_and_lossy_wires_exclude_each_other() -> None:
    assert planned({"wire": "auto", "sync_every": 4}).wire == "float32"
    assert planned({"wire": "int8", "sync_every": "auto"}).sync_every == 1


def test_a_model_of_float64_keeps_its_wire() -> None:
    assert planned(EVERYTHING, exact_wire="float64").wire == "float64"


def test_a_deadline_makes_the_gang_larger() -> None:
    # Given an hour's work for one worker
    work = {"step_seconds": 1.0, "samples": 64 * 3600}
    workers = [
        planned({"workers": "auto", "epochs": 1, "deadline_minutes": minutes}, **work).workers for minutes in (8, 60)
    ]
    assert workers[0] > workers[1]


def test_no_way_is_said_with_its_reason() -> None:
    with pytest.raises(JobError, match=r'^workers = "auto" finds no way to run this job: No plan keeps 1 minute:'):
        planned({"workers": "auto", "deadline_minutes": 1}, step_seconds=10.0)
    with pytest.raises(JobError, match=r'^workers = "auto" finds no way to run this job: No plan can work, such'):
        planned({"workers": "auto"}, step_seconds=890.0)


@pytest.mark.parametrize("key", EVERYTHING)
def test_auto_is_a_word_of_the_job(key: str) -> None:
    assert getattr(parse_job({key: "auto"}, {}), key) == "auto"


def test_the_small_functions_need_no_numpy() -> None:
    # Given what the layer of the small functions does not have
    code = (
        "import sys\n"
        "for name in ('numpy', 'tensorflow', 'keras'): sys.modules[name] = None\n"
        "from paytrain.control import close_lap, explain, plan, resolve, stop_run\n"
        "from paytrain.planner.question import Deployment, JobFacts\n"
        "from paytrain.planner.search import search\n"
        "job = JobFacts(parameters=10_000, samples=1000, batch_size=10, epochs=1, step_seconds=0.1)\n"
        "assert search(job, Deployment()).recommended\n"
    )
    # Then they work without it
    subprocess.run([sys.executable, "-c", code], check=True)
