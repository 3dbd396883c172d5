"""What a worker function is told by its environment, checked when the sandbox starts."""

import os

from pydantic import BaseModel, Field, Json, PositiveInt

MB_PER_VCPU = 1769
"""Lambda gives a function one vCPU per 1,769 MB (AWS Lambda developer guide, "Configuring memory")."""


class WorkerEnvironment(BaseModel):
    """Environment variables of a worker function."""

    run_table: str = Field(alias="RUN_TABLE", min_length=1)
    artifacts_bucket: str = Field(alias="ARTIFACTS_BUCKET", min_length=1)
    exchange_bucket: str = Field(alias="EXCHANGE_BUCKET", min_length=1)
    exchange_table: str = Field(alias="EXCHANGE_TABLE", min_length=1)
    worker_memory_sizes: Json[list[int]] = Field(alias="WORKER_MEMORY_SIZES")
    memory_mb: PositiveInt = Field(alias="AWS_LAMBDA_FUNCTION_MEMORY_SIZE")

    @classmethod
    def read(cls) -> "WorkerEnvironment":
        """Read and check the process' environment."""
        return cls.model_validate(dict(os.environ))

    @property
    def threads(self) -> int:
        """TensorFlow's threads: the function's vCPUs, whole ones, whatever the machine shows."""
        return max(1, self.memory_mb // MB_PER_VCPU)
