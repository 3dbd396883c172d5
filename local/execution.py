"""An execution of the state machine: start it, ask how far it is, stop it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from local.stack import Stack
from local.terminal import LocalError
from paytrain.run import Items

RUNNING = "RUNNING"
SUCCEEDED = "SUCCEEDED"

# The others, such as choices, take no time and tell a person nothing.
_WORKING = ("TaskStateEntered", "MapStateEntered")


@dataclass(frozen=True)
class Entered:
    """A state in which the execution did some work, and when it was entered."""

    name: str
    at: datetime


@dataclass(frozen=True)
class Snapshot:
    """How far an execution is.

    Attributes
    ----------
    status
        As Step Functions names it.
    started, ended
        ``ended`` is None while it runs.
    states
        All working states entered so far, in order.
    progress
        What rank 0 last wrote to the run table; empty before the first lap.
    cause
        Why it failed, if it did.
    """

    status: str
    started: datetime
    ended: datetime | None
    states: tuple[Entered, ...]
    progress: Mapping[str, Any] = field(default_factory=dict)
    cause: str = ""


class Execution:
    """One execution, which may still be running.

    Parameters
    ----------
    stack
        Where it runs.
    run_id
        The execution's name.
    """

    def __init__(self, stack: Stack, run_id: str) -> None:
        self.stack = stack
        self.run_id = run_id
        self.arn = stack.execution_arn(run_id)
        self._states: list[Entered] = []
        self._last_event = 0

    @classmethod
    def start(cls, stack: Stack, run_id: str, job: Any) -> "Execution":
        """Start an execution with this name and input."""
        stack.stepfunctions.start_execution(stateMachineArn=stack.state_machine_arn, name=run_id, input=json.dumps(job))
        return cls(stack, run_id)

    def stop(self) -> None:
        """Stop it; its workers leave at the mark that the stack then sets.

        Raises
        ------
        LocalError
            When it is not running.
        """
        try:
            self.stack.stepfunctions.stop_execution(executionArn=self.arn, cause="Stopped by the user.")
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("ExecutionDoesNotExist", "ValidationException"):
                raise
            raise LocalError(f"{self.run_id} is not running here, so there is nothing to stop.") from None

    def poll(self) -> Snapshot:
        """Ask for its status, its new events and the run's progress."""
        described = self.stack.stepfunctions.describe_execution(executionArn=self.arn)
        self._read_new_states()
        return Snapshot(
            status=described["status"],
            started=described["startDate"],
            ended=described.get("stopDate"),
            states=tuple(self._states),
            progress=self._progress(),
            cause=described.get("cause") or described.get("error") or "",
        )

    def _read_new_states(self) -> None:
        events = list(self._new_events())
        if events:
            self._last_event = events[0]["id"]
        self._states += [
            Entered(event["stateEnteredEventDetails"]["name"], event["timestamp"])
            for event in reversed(events)
            if event["type"] in _WORKING
        ]

    def _new_events(self) -> Iterator[dict[str, Any]]:
        """Read backwards, down to the last event seen: a long run's history has thousands."""
        pages = self.stack.stepfunctions.get_paginator("get_execution_history").paginate(
            executionArn=self.arn, reverseOrder=True, includeExecutionData=False
        )
        for page in pages:
            for event in page["events"]:
                if event["id"] <= self._last_event:
                    return
                yield event

    def _progress(self) -> Mapping[str, Any]:
        item = self.stack.dynamodb.get_item(
            TableName=self.stack.run_table, Key={"run_id": {"S": self.run_id}, "item": {"S": Items.PROGRESS}}
        ).get("Item")
        return json.loads(item["record"]["S"]) if item else {}
