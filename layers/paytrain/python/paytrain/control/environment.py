"""What the small functions are told by their environment, checked when the sandbox starts."""

import os
from typing import Any, Self

from pydantic import BaseModel, Field, Json

from paytrain.errors import JobError


class _Environment(BaseModel):
    run_table: str = Field(alias="RUN_TABLE", min_length=1)
    artifacts_bucket: str = Field(alias="ARTIFACTS_BUCKET", min_length=1)

    @classmethod
    def read(cls) -> Self:
        """Read and check the process' environment."""
        return cls.model_validate(dict(os.environ))


class CloseEnvironment(_Environment):
    """Of CloseLap and Explain."""


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
            When there is none.
        """
        functions = self.worker_functions.get(str(memory_mb))
        if functions is None:
            sizes = ", ".join(sorted(self.worker_functions, key=int))
            raise JobError(f"memory_mb = {memory_mb} is not allowed: worker functions are deployed with {sizes}.")
        if side not in functions:
            raise JobError('channel = "memcached" is not allowed: the stack was deployed with cache_mode = none.')
        return functions[side]


class ResolveEnvironment(WorkerFunctions):
    """Of Resolve."""

    job_defaults: Json[dict[str, Any]] = Field(alias="JOB_DEFAULTS")
    examples: Json[dict[str, dict[str, str]]] = Field(alias="EXAMPLES")
    data_buckets: Json[list[str]] = Field(alias="DATA_BUCKETS")


class PlanEnvironment(WorkerFunctions):
    """Of Plan."""

    cache_endpoint: str = Field(alias="CACHE_ENDPOINT")
    cache_item_bytes: int = Field(alias="CACHE_ITEM_BYTES")
    worker_timeout_seconds: float = Field(alias="WORKER_TIMEOUT_SECONDS")
    peer_timeout_seconds: float = Field(alias="PEER_TIMEOUT_SECONDS")
    gang_timeout_seconds: float = Field(alias="GANG_TIMEOUT_SECONDS")
    max_attempts: int = Field(alias="MAX_ATTEMPTS")
