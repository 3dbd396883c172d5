"""The deployed worker function with the container in its place: its variables, its role, its part in a run."""

import json
import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import boto3

from tests.e2e.deployment import Deployment
from tests.image.sandbox import Sandbox, sandbox


class Worker:
    """Starts sandboxes with the variables and credentials that Lambda would give them.

    Parameters
    ----------
    deployed
        The stack whose function it is.
    image
        To run.
    """

    MEMORY_MB: ClassVar = 1769
    PLACEHOLDERS: ClassVar = {
        "RUN_TABLE": "-",
        "ARTIFACTS_BUCKET": "-",
        "EXCHANGE_BUCKET": "-",
        "EXCHANGE_TABLE": "-",
        "WORKER_MEMORY_SIZES": "[]",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(MEMORY_MB),
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    """What a worker insists on, where it has no AWS to talk to."""

    def __init__(self, deployed: Deployment, image: str) -> None:
        self._deployed = deployed
        self._image = image
        self._lambda = boto3.client("lambda")
        pages = self._lambda.get_paginator("list_functions").paginate()
        self._functions = [function for page in pages for function in page["Functions"]]

    def start(self) -> AbstractContextManager[Sandbox]:
        """Start a sandbox of the worker function."""
        return sandbox(self._image, self._environment(), self.MEMORY_MB)

    def resolve(self, job: dict[str, Any]) -> str:
        """Let the deployed Resolve make a run of a job; returns its id."""
        name = f"image-{uuid.uuid4().hex[:12]}"
        event = {"input": job, "execution": name, "execution_arn": name, "started": "2026-01-01T00:00:00Z"}
        return str(self._control("resolve", event)["run_id"])

    def train(self, run_id: str, gang: Sequence[Sandbox]) -> dict[str, Any]:
        """Do what the state machine does, with one sandbox per rank; the first also prepares and finishes.

        Returns
        -------
        dict
            What Finish answers.
        """
        self._ask(gang[:1], [{"action": "prepare", "run_id": run_id}])
        state = self._control("plan", {"run_id": run_id})
        while state.get("next") != "finished":
            assert state.get("next", "continue") == "continue", state
            lap = {"action": "lap", "run_id": run_id, "lap": state["lap"], "attempt": state["attempt"]}
            self._ask(gang, [{**lap, "rank": rank} for rank in state["ranks"]])
            state = self._control("close_lap", state)
        (finished,) = self._ask(gang[:1], [{"action": "finish", "run_id": run_id}])
        return finished

    @staticmethod
    def _ask(sandboxes: Sequence[Sandbox], events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        for one, event in zip(sandboxes, events, strict=True):
            one.send(event)
        answers = [one.answer() for one in sandboxes]
        for one, answer in zip(sandboxes, answers, strict=True):
            assert not answer.error, f"{answer.body}\n{one.logs()}"
        return [answer.body for answer in answers]

    def _control(self, name: str, event: dict[str, Any]) -> dict[str, Any]:
        function = self._named(name)["FunctionName"]
        answer = self._lambda.invoke(FunctionName=function, Payload=json.dumps(event).encode())
        result: dict[str, Any] = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, result
        return result

    def _environment(self) -> dict[str, str]:
        function = self._named(f"worker{self.MEMORY_MB}")
        role = boto3.client("sts").assume_role(RoleArn=function["Role"], RoleSessionName="image")["Credentials"]
        session = boto3.session.Session()
        return {
            **function["Environment"]["Variables"],
            "AWS_ACCESS_KEY_ID": role["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": role["SecretAccessKey"],
            "AWS_SESSION_TOKEN": role["SessionToken"],
            "AWS_REGION": session.region_name,
            "AWS_DEFAULT_REGION": session.region_name,
            "AWS_ENDPOINT_URL": boto3.client("lambda").meta.endpoint_url,
            "AWS_LAMBDA_FUNCTION_NAME": function["FunctionName"],
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function["MemorySize"]),
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
        }

    def _named(self, name: str) -> dict[str, Any]:
        (found,) = [f for f in self._functions if name.replace("_", "") in f["FunctionName"].replace("-", "").lower()]
        return dict(found)
