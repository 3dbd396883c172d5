"""A deployed stack in the twin as the tests use it: start jobs, wait, look at what they leave."""

import io
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from local.execution import RUNNING, Execution, Snapshot
from local.stack import Stack
from paytrain.run import Keys
from paytrain.store import Artifacts, RunTable, split_uri

LAP_SECONDS = 10
"""After which a stack that makes many laps kills its workers."""
POLL_SECONDS = 0.2
RUN_SECONDS = 400
"""A run that takes longer has hung; nothing is timed by it."""


@dataclass(frozen=True)
class Run:
    """A run that has ended, and what it left."""

    stack: Stack
    run_id: str
    snapshot: Snapshot

    def text(self, name: str) -> str:
        return self.bytes(name).decode()

    def bytes(self, name: str) -> bytes:
        body: bytes = self.stack.s3.get_object(
            Bucket=self.stack.artifacts_bucket, Key=getattr(Keys(self.run_id), name)
        )["Body"].read()
        return body

    def json(self, name: str) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.text(name))
        return value

    @property
    def receipt(self) -> dict[str, Any]:
        assert self.snapshot.status == "SUCCEEDED", self.snapshot.cause
        return self.json("receipt")

    @property
    def table(self) -> RunTable:
        return RunTable(self.stack.run_table, self.run_id)

    def model(self, folder: Path) -> keras.Model:
        path = folder / f"{self.run_id}.keras"
        path.write_bytes(self.bytes("model"))
        return keras.models.load_model(path)


class Deployment:
    """A deployed stack in the twin, and ways to run jobs on it."""

    def __init__(self, stage: str) -> None:
        self.stack = Stack(f"paytrain-{stage}")

    def start(self, job: Any) -> Execution:
        return Execution.start(self.stack, f"run-{uuid.uuid4().hex[:12]}", job)

    def wait(self, execution: Execution, until: Callable[[Snapshot], bool] = lambda _: False) -> Snapshot:
        """Follow an execution until it ends, or until something is true of it."""
        deadline = time.monotonic() + RUN_SECONDS
        while time.monotonic() < deadline:
            snapshot = execution.poll()
            if snapshot.status != RUNNING or until(snapshot):
                return snapshot
            time.sleep(POLL_SECONDS)
        raise AssertionError(f"{execution.run_id} has not come to an end; states: {execution.poll().states}")

    def run(self, job: Any) -> Run:
        execution = self.start(job)
        return Run(self.stack, execution.run_id, self.wait(execution))

    def has(self, key: str) -> bool:
        return Artifacts(self.stack.artifacts_bucket).exists(key)

    def keys(self, prefix: str) -> list[str]:
        found = self.stack.s3.list_objects_v2(Bucket=self.stack.artifacts_bucket, Prefix=prefix)
        return [entry["Key"] for entry in found.get("Contents", [])]

    def upload(self, key: str, body: bytes) -> str:
        self.stack.s3.put_object(Bucket=self.stack.artifacts_bucket, Key=key, Body=body)
        return f"s3://{self.stack.artifacts_bucket}/{key}"

    def copy(self, uri: str, key: str) -> str:
        bucket, source = split_uri(uri)
        self.stack.s3.copy_object(
            Bucket=self.stack.artifacts_bucket, Key=key, CopySource={"Bucket": bucket, "Key": source}
        )
        return f"s3://{self.stack.artifacts_bucket}/{key}"

    def delete(self, uri: str) -> None:
        bucket, key = split_uri(uri)
        self.stack.s3.delete_object(Bucket=bucket, Key=key)


def npz(x: np.ndarray, y: np.ndarray) -> bytes:
    return packed({"x": x, "y": y})


def packed(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()
