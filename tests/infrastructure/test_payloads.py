"""What travels between states with 1,000 workers: the definition's templates filled with what the functions return."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from paytrain.control.plan import state_of
from paytrain.job import MAX_WORKERS
from tests.infrastructure.templates import Synthesised, states
from tests.unit.plans import plan

LIMIT_BYTES = 10_000
STEP_FUNCTIONS_BYTES = 256 * 1024
LONGEST_CAUSE = 32_768
"""Characters of a cause at most, by Step Functions' documentation."""

LONGEST_ARN = f"arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:{64 * 'f'}:12345"
LARGEST_PLAN = plan(run_id=80 * "r", workers=MAX_WORKERS, function=LONGEST_ARN, single_function=LONGEST_ARN)
STATE = {**state_of(LARGEST_PLAN, lap=99_999, attempt=19), "next": "continue"}
"""The largest that Plan and CloseLap return."""


@pytest.fixture(scope="module")
def all_states(aws: Synthesised) -> dict[str, Any]:
    return dict(states(aws.definition()))


def test_the_state_of_the_largest_run_is_small() -> None:
    assert STATE["ranks"] == list(range(1000))
    assert size(STATE) < LIMIT_BYTES


def test_a_rank_is_given_less_than_its_gang(all_states: dict[str, Any]) -> None:
    # given what the map makes of the state for the last rank
    child = filled(all_states["Lap"]["ItemSelector"], STATE, {"Map": {"Item": {"Value": MAX_WORKERS - 1}}})

    # when the child invokes its worker
    event = filled(all_states["Train"]["Parameters"], child, {})

    # then both are small, since each of a thousand children is one
    assert child.keys() == {"run_id", "lap", "attempt", "function", "rank", "expires_at"}
    assert event["Payload"]["rank"] == 999
    assert size(child) < 500
    assert size(event) < 500


@pytest.mark.parametrize("name", ["Prepare", "Finish"])
def test_prepare_and_finish_are_given_the_run_and_no_more(all_states: dict[str, Any], name: str) -> None:
    assert size(filled(all_states[name]["Parameters"], STATE, {})) < 500


def test_the_way_out_takes_the_longest_cause(all_states: dict[str, Any]) -> None:
    # given a state with a failure that says as much as Step Functions lets it
    failed = {**STATE, "failure": {"Error": 256 * "E", "Cause": LONGEST_CAUSE * "c"}}

    # when Explain is given all of it, and passes the cause on to Salvage
    explain = filled(all_states["Explain"]["Parameters"], failed, {"Execution": {"Name": 80 * "r"}})
    given_up = {**STATE, "error": 256 * "E", "cause": LONGEST_CAUSE * "c"}
    salvage = filled(all_states["Salvage"]["Parameters"], given_up, {})

    # then
    assert size(explain) < STEP_FUNCTIONS_BYTES / 4
    assert size(salvage) < STEP_FUNCTIONS_BYTES / 4


def test_what_all_ranks_return_fits_together(all_states: dict[str, Any]) -> None:
    # given both ways in which a child ends
    ends = [
        filled(all_states["Train"]["ResultSelector"], {"StatusCode": 200}, {}),
        filled(all_states["MarkAborted"]["ResultSelector"], {}, {}),
    ]

    # when, then
    assert [all_states[state]["End"] for state in ("Train", "MarkAborted")] == [True, True]
    assert MAX_WORKERS * max(map(size, ends)) < LIMIT_BYTES * 3
    assert all_states["Lap"]["ResultPath"] is None


def filled(template: Mapping[str, Any], given: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    """Fill a payload template as Step Functions does; ``$$`` is the context object."""
    result: dict[str, Any] = {}
    for key, value in template.items():
        if key.endswith(".$"):
            root, *names = value.split(".")
            found: Any = context if root == "$$" else given
            for name in names:
                found = found[name]
            result[key.removesuffix(".$")] = found
        else:
            result[key] = filled(value, given, context) if isinstance(value, Mapping) else value
    return result


def size(payload: Mapping[str, Any]) -> int:
    """Bytes of a payload as JSON."""
    return len(json.dumps(payload).encode())
