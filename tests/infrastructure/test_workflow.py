"""The state machine: what is invoked, what is retried, and that every error finds its way out."""

from typing import Any

import pytest

from tests.infrastructure.conftest import Synthesiser
from tests.infrastructure.templates import Synthesised, flat, states

NOT_STARTED = {
    "Lambda.TooManyRequestsException",
    "Lambda.CodeArtifactUserPendingException",
    "Lambda.ResourceNotReadyException",
    "Lambda.ResourceConflictException",
}
WORKER_STATES = ("Prepare", "Train", "Finish", "Salvage")
ZIP_STATES = {"Resolve": "resolve", "Plan": "plan", "CloseLap": "closelap", "Explain": "explain"}


@pytest.fixture(scope="module")
def definition(aws: Synthesised) -> dict[str, Any]:
    return aws.definition()


@pytest.fixture(scope="module")
def all_states(definition: dict[str, Any]) -> dict[str, Any]:
    return dict(states(definition))


def test_every_state_exists_and_is_reached(definition: dict[str, Any]) -> None:
    # given the top level and the inside of the map
    for level in (definition, definition["States"]["Lap"]["ItemProcessor"]):
        # when following every edge from the start
        reached, ahead = set(), [level["StartAt"]]
        while ahead:
            name = ahead.pop()
            if name not in reached:
                reached.add(name)
                ahead += _next_of(level["States"][name])

        # then
        assert reached == set(level["States"])


@pytest.mark.parametrize(("state", "function"), ZIP_STATES.items())
def test_zip_states_invoke_the_published_version(all_states: dict[str, Any], state: str, function: str) -> None:
    assert all_states[state]["Resource"] == f"<Functions{function}CurrentVersion>"


@pytest.mark.parametrize("state", WORKER_STATES)
def test_worker_states_invoke_the_function_that_the_run_names(all_states: dict[str, Any], state: str) -> None:
    # given
    task = all_states[state]

    # when
    name = task["Parameters"]["FunctionName.$"]

    # then
    assert task["Resource"].endswith(":states:::lambda:invoke")
    assert name == ("$.function" if state == "Train" else "$.single_function")


def test_a_rank_is_retried_only_when_it_has_not_started(all_states: dict[str, Any]) -> None:
    retries = all_states["Train"]["Retry"]

    assert {error for retry in retries for error in retry["ErrorEquals"]} == NOT_STARTED
    assert all(retry["JitterStrategy"] == "FULL" for retry in retries)


@pytest.mark.parametrize("state", [*ZIP_STATES, "Prepare", "Finish", "Salvage"])
def test_what_may_run_twice_is_retried_on_errors_of_the_service_too(all_states: dict[str, Any], state: str) -> None:
    errors = {error for retry in all_states[state]["Retry"] for error in retry["ErrorEquals"]}

    assert errors >= {*NOT_STARTED, "Lambda.ServiceException", "Lambda.SdkClientException"}
    assert "States.ALL" not in errors


def test_a_function_idle_for_weeks_gets_minutes_to_wake(all_states: dict[str, Any]) -> None:
    # given
    (waking,) = [r for r in all_states["Train"]["Retry"] if "Lambda.ResourceNotReadyException" in r["ErrorEquals"]]

    # when, with full jitter, half of every delay passes on average
    delay = min(waking["IntervalSeconds"], waking["MaxDelaySeconds"]) / 2

    # then
    assert waking["MaxAttempts"] * delay >= 300


def test_every_error_of_the_way_is_explained(definition: dict[str, Any]) -> None:
    for name, state in definition["States"].items():
        if state["Type"] in ("Task", "Map") and name not in ("Explain", "Salvage"):
            assert state["Catch"] == [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.failure", "Next": "Explain"}], (
                name
            )


def test_an_explained_error_saves_the_model_and_fails_with_its_cause(all_states: dict[str, Any]) -> None:
    assert all_states["Explain"]["Next"] == "IsThereAModel"
    assert all_states["IsThereAModel"]["Choices"][0]["Next"] == "Salvage"
    assert all_states["IsThereAModel"]["Default"] == "Failed"
    assert all_states["Salvage"]["Next"] == "Failed"
    assert all_states["Salvage"]["Catch"][0]["Next"] == "Failed"
    assert (all_states["Failed"]["ErrorPath"], all_states["Failed"]["CausePath"]) == ("$.error", "$.cause")
    assert all_states["Explain"]["Catch"][0]["Next"] == "Unexplained"
    assert all_states["Unexplained"]["Parameters"]["cause"].endswith(".")
    assert all_states["Unexplained"]["Next"] == "Failed"


def test_the_gang_is_a_distributed_map_that_its_children_cannot_fail(definition: dict[str, Any]) -> None:
    # given
    lap = definition["States"]["Lap"]

    # when, then
    assert lap["ItemProcessor"]["ProcessorConfig"] == {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    assert lap["ItemsPath"] == "$.ranks"
    assert lap["MaxConcurrency"] == 1000
    assert lap["ToleratedFailurePercentage"] == 100
    assert lap["ResultPath"] is None
    assert lap["ItemSelector"] == {
        "run_id.$": "$.run_id",
        "lap.$": "$.lap",
        "attempt.$": "$.attempt",
        "function.$": "$.function",
        "expires_at.$": "$.expires_at",
        "rank.$": "$$.Map.Item.Value",
    }


def test_a_rank_that_dies_is_recorded_once_and_its_peers_are_told(all_states: dict[str, Any]) -> None:
    # given
    record, mark = all_states["RecordFailure"], all_states["MarkAborted"]

    # when
    recorded, marked = record["Parameters"], mark["Parameters"]

    # then
    assert all_states["Train"]["Catch"][0]["Next"] == "RecordFailure"
    assert recorded["Item"]["item"] == {"S.$": "States.Format('outcome#{}#{}#{}', $.lap, $.attempt, $.rank)"}
    assert recorded["Item"]["error"] == {"S.$": "$.failure.Error"}
    assert recorded["Item"]["cause"] == {"S.$": "$.failure.Cause"}
    assert recorded["ConditionExpression"] == "attribute_not_exists(run_id)"
    assert record["Retry"][0] == {"ErrorEquals": ["DynamoDB.ConditionalCheckFailedException"], "MaxAttempts": 0}
    assert {record["Next"], record["Catch"][0]["Next"]} == {"MarkAborted"}
    assert marked["Item"]["item"] == {"S.$": "States.Format('abort#{}#{}', $.lap, $.attempt)"}
    assert mark["End"]


@pytest.mark.parametrize("state", ["RecordFailure", "MarkAborted"])
def test_records_of_step_functions_expire_like_those_of_functions(all_states: dict[str, Any], state: str) -> None:
    # given DynamoDB's time to live, which heeds numbers only
    assert all_states[state]["Parameters"]["Item"]["expires_at"] == {"N.$": "$.expires_at"}


def test_no_more_ranks_run_at_once_than_a_run_may_have(synthesise_with: Synthesiser) -> None:
    # given
    stack = synthesise_with(max_workers=16, cache_mode="none")

    # when
    resolve = stack.properties("AWS::Lambda::Function", "Functionsresolve")

    # then Resolve refuses what the map could not run at once
    assert stack.definition()["States"]["Lap"]["MaxConcurrency"] == 16
    assert resolve["Environment"]["Variables"]["MAX_WORKERS"] == "16"


def test_a_lap_costs_few_events_of_the_history(definition: dict[str, Any]) -> None:
    # given AWS' events of a distributed Map, of a Lambda task and of a Choice
    events = {"Map": 6, "Task": 5, "Choice": 2}

    # when going once around the loop
    loop, name = [], "Lap"
    while not loop or name != "Lap":
        loop.append(name)
        state = definition["States"][name]
        name = state["Choices"][0]["Next"] if state["Type"] == "Choice" else state["Next"]

    # then 25,000 of them are enough for about 1,600 laps
    assert loop == ["Lap", "CloseLap", "HowToGoOn"]
    assert sum(events[definition["States"][name]["Type"]] for name in loop) <= 15


def test_an_execution_that_ends_early_is_noticed(aws: Synthesised) -> None:
    # given
    rule = aws.properties("AWS::Events::Rule")

    # when
    pattern, (target,) = rule["EventPattern"], rule["Targets"]

    # then
    assert pattern["source"] == ["aws.states"]
    assert pattern["detail"]["status"] == ["ABORTED", "TIMED_OUT", "FAILED"]
    assert flat(pattern["detail"]["stateMachineArn"][0]) == "<WorkflowStateMachine>"
    assert flat(target["Arn"]) == "<Functionsstoprun.Arn>"


def test_the_history_is_logged_without_the_users_data(aws: Synthesised) -> None:
    machine = aws.properties("AWS::StepFunctions::StateMachine")

    assert machine["LoggingConfiguration"]["Level"] == "ALL"
    assert machine["LoggingConfiguration"]["IncludeExecutionData"] is False
    assert machine["TracingConfiguration"] == {"Enabled": True}


def _next_of(state: dict[str, Any]) -> list[str]:
    edges = [*state.get("Catch", []), *state.get("Choices", []), state]
    return [edge["Next"] for edge in edges if "Next" in edge] + ([state["Default"]] if "Default" in state else [])
