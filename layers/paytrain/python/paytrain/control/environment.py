"""What the small functions are told by their environment, checked when the sandbox starts."""

import os
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, Json

from paytrain.errors import JobError

NOT_DEPLOYED = {
    "memcached": 'channel = "memcached" is not allowed: the stack was deployed with cache_mode = none.',
    "s3express": 'channel = "s3express" is not allowed: the stack was deployed without availability_zone_id.',
}
"""Of the channels that not every deployment has: why a job cannot use them."""


class _Environment(BaseModel):
    run_table: str = Field(alias="RUN_TABLE", min_length=1)
    artifacts_bucket: str = Field(alias="ARTIFACTS_BUCKET", min_length=1)

    @classmethod
    def read(cls) -> Self:
        """Read and check the process' environment."""
        return cls.model_validate(dict(os.environ))


class CloseEnvironment(_Environment):
    """Of OpenCache, CloseLap and Explain."""


class SweepEnvironment(_Environment):
    """Of SweepCaches.

    Attributes
    ----------
    cache_prefix
        With which the ids of runs' clusters begin.
    state_machine_arn
        Whose executions the runs are.
    """

    cache_prefix: str = Field(alias="CACHE_PREFIX", min_length=1)
    state_machine_arn: str = Field(alias="STATE_MACHINE_ARN", min_length=1)


class WorkerFunctions(_Environment):
    """Of whatever must know the worker functions.

    Attributes
    ----------
    worker_functions
        Qualified ARNs by memory size: ``{"1769": {"outside": ..., "inside": ...}}``.
    """

    worker_functions: Json[dict[str, dict[str, str]]] = Field(alias="WORKER_FUNCTIONS")

    def worker(self, memory_mb: int, side: str) -> str:
        """ARN of the function with this memory, ``outside`` or ``inside`` the VPC.

        Raises
        ------
        JobError
            When there is none with this memory.
        """
        functions = self.worker_functions.get(str(memory_mb))
        if functions is None:
            sizes = ", ".join(sorted(self.worker_functions, key=int))
            raise JobError(f"memory_mb = {memory_mb} is not allowed: worker functions are deployed with {sizes}.")
        return functions[side]


class ResolveEnvironment(WorkerFunctions):
    """Of Resolve."""

    job_defaults: Json[dict[str, Any]] = Field(alias="JOB_DEFAULTS")
    examples: Json[dict[str, dict[str, str]]] = Field(alias="EXAMPLES")
    data_buckets: Json[list[str]] = Field(alias="DATA_BUCKETS")
    region: str = Field(alias="AWS_REGION")
    max_workers: int = Field(alias="MAX_WORKERS")
    channels: Json[list[str]] = Field(alias="CHANNELS")


class PlanEnvironment(WorkerFunctions):
    """Of Plan.

    Attributes
    ----------
    cache_prefix
        With which the ids of runs' clusters begin.
    cache_endpoint
        Of the deployment's cluster; empty when there is none or every run has its own.
    """

    cache_mode: Literal["provisioned", "per_execution", "none"] = Field(alias="CACHE_MODE")
    cache_prefix: str = Field(alias="CACHE_PREFIX")
    cache_endpoint: str = Field(alias="CACHE_ENDPOINT")
    cache_item_bytes: int = Field(alias="CACHE_ITEM_BYTES")
    cache_node_type: str = Field(alias="CACHE_NODE_TYPE")
    cache_nodes: int = Field(alias="CACHE_NODES")
    express_bucket: str = Field(alias="EXPRESS_BUCKET")
    worker_timeout_seconds: float = Field(alias="WORKER_TIMEOUT_SECONDS")
    peer_timeout_seconds: float = Field(alias="PEER_TIMEOUT_SECONDS")
    gang_timeout_seconds: float = Field(alias="GANG_TIMEOUT_SECONDS")
    max_attempts: int = Field(alias="MAX_ATTEMPTS")
    notifies: bool = Field(alias="NOTIFIES")
