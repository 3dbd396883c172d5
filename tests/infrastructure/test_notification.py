"""Telling somebody how a run has ended, and only if somebody wants to be told."""

from typing import Any

import pytest

from tests.infrastructure.templates import Synthesised, flat, states

TELLING = {"NotifySuccess": "Finished", "NotifySalvaged": "Failed", "NotifyFailure": "Failed"}
SUBJECT_CHARACTERS = 100


@pytest.fixture(scope="module")
def all_states(notifying: Synthesised) -> dict[str, Any]:
    return dict(states(notifying.definition()))


def test_without_an_address_there_is_no_topic(aws: Synthesised) -> None:
    types = {resource["Type"] for resource in aws.template["Resources"].values()}

    assert not [name for name in types if name.startswith("AWS::SNS")]
    assert not [action for action in aws.allowed("WorkflowStateMachineRole") if action.startswith("sns:")]
    assert not TELLING.keys() & dict(states(aws.definition())).keys()


def test_the_topic_is_encrypted_answers_tls_only_and_mails_the_address(notifying: Synthesised) -> None:
    # given
    topic, subscription = (notifying.properties(f"AWS::SNS::{kind}") for kind in ("Topic", "Subscription"))

    # when
    (statement,) = notifying.properties("AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"]

    # then
    assert flat(topic["KmsMasterKeyId"]).endswith(":alias/aws/sns")
    assert (statement["Effect"], statement["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "me@example.com")


def test_the_state_machine_may_publish_to_this_topic_alone(notifying: Synthesised) -> None:
    assert notifying.allowed("WorkflowStateMachineRole")["sns:Publish"] == {"<NotificationRunEnded>"}


@pytest.mark.parametrize(("state", "end"), TELLING.items())
def test_a_run_ends_as_it_has_ended_whether_the_message_arrives_or_not(
    all_states: dict[str, Any], state: str, end: str
) -> None:
    told = all_states[state]

    assert told["Next"] == end
    assert [(catch["ErrorEquals"], catch["Next"]) for catch in told["Catch"]] == [(["States.ALL"], end)]
    assert told["ResultPath"] is None


def test_every_end_is_told(all_states: dict[str, Any]) -> None:
    assert all_states["Finish"]["Next"] == "NotifySuccess"
    assert all_states["Salvage"]["Next"] == "NotifySalvaged"
    assert all_states["Salvage"]["Catch"][0]["Next"] == "NotifyFailure"
    assert all_states["IsThereAModel"]["Default"] == "NotifyFailure"
    assert all_states["Unexplained"]["Next"] == "NotifyFailure"


def test_the_message_names_run_status_dollars_and_model(all_states: dict[str, Any]) -> None:
    message = all_states["NotifySuccess"]["Parameters"]["Message.$"]

    assert message.endswith(", $.run_id, $.status, $.usd, $.model)")


@pytest.mark.parametrize("state", TELLING)
def test_the_subject_fits_with_the_longest_run_id(all_states: dict[str, Any], state: str) -> None:
    # given
    subject = all_states[state]["Parameters"]["Subject.$"].split("'")[1]

    # when, then
    assert len(subject.replace("{}", 80 * "r")) < SUBJECT_CHARACTERS
