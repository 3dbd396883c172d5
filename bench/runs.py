"""Runs in the laptop twin, and what they leave."""

import json
import time
from typing import Any

from local.execution import RUNNING, Execution
from local.stack import Stack


def run(stack: Stack, job: dict[str, Any]) -> str:
    """Start a run, wait for its end, and return its id.

    Raises
    ------
    RuntimeError
        When it fails.
    """
    execution = Execution.start(stack, f"bench-{time.time_ns()}", job)
    while (snapshot := execution.poll()).status == RUNNING:
        time.sleep(0.5)
    if snapshot.status != "SUCCEEDED":
        raise RuntimeError(f"The run {execution.run_id} has failed: {snapshot.cause}")
    return execution.run_id


def read(stack: Stack, key: str) -> dict[str, Any]:
    """Read a JSON object of the artifacts bucket."""
    value: dict[str, Any] = json.loads(stack.s3.get_object(Bucket=stack.artifacts_bucket, Key=key)["Body"].read())
    return value
