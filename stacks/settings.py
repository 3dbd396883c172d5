"""What a deployment is told by CDK context: one typed, described field per key, unknown keys refused."""

import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal, get_origin

from pydantic import Field, ValidationError, ValidationInfo, ValidatorFunctionWrapHandler, field_validator

from paytrain.errors import PaytrainError, sentence
from paytrain.job import Job

_CDK_KEYS = ("@aws-cdk", "@cdklabs", "aws:", "aws-cdk:", "cdk-", "acknowledged-issue-numbers", "cli-telemetry")
"""How the keys begin that CDK reads or its command line writes."""

_LOG_RETENTION_DAYS = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180),
    *(365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653),
)

BucketName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", examples=["my-data"])]
MemoryMb = Annotated[int, Field(ge=128, le=10240)]


class SettingsError(PaytrainError):
    """The deployment cannot be built as told.

    Likely cause: a value in ``cdk.json`` or one given with ``cdk deploy -c key=value``.
    """


class Settings(Job):
    """Every context key of the deployment; those inherited from the job are the defaults of its runs."""

    stage: str = Field(
        "dev",
        pattern=r"^[a-z][a-z0-9-]{0,19}$",
        examples=["dev", "prod"],
        description="tells deployments in one account apart",
    )
    packaging: Literal["image", "zip"] = Field("image", description="of the worker; zip is for the laptop twin")
    architecture: Literal["x86_64", "arm64", "auto"] = Field("auto", description="auto: that of the deploying machine")
    worker_memory_sizes: list[MemoryMb] = Field(
        [1769, 3008], min_length=1, max_length=6, description="memory sizes for which there are workers"
    )
    worker_timeout_seconds: int = Field(900, ge=10, le=900, description="after which Lambda kills a worker")
    tmp_mb: int = Field(512, ge=512, le=10240, description="a worker's /tmp")
    data_buckets: list[BucketName] = Field([], max_length=10, description="from which models and data may come")
    cache_mode: Literal["provisioned", "none"] = Field(
        "provisioned", description="whether there is a Memcached cluster"
    )
    cache_node_type: str = Field("cache.t4g.micro", description="of the Memcached cluster")
    cache_nodes: int = Field(1, ge=1, le=40, description="nodes of the Memcached cluster")
    cache_item_mb: int = Field(8, ge=1, le=128, description="largest item of the Memcached cluster, MiB")
    peer_timeout_seconds: int = Field(30, ge=1, le=600, description="how long a worker waits for a peer")
    gang_timeout_seconds: int = Field(120, ge=1, le=600, description="how long a lap waits for all its workers")
    max_attempts: int = Field(3, ge=1, le=20, description="attempts of a lap")
    log_retention_days: int = Field(30, description="after which logs are deleted")
    removal_policy: Literal["retain", "destroy"] = Field("retain", description="of stored data when the stack goes")

    @field_validator("log_retention_days")
    @classmethod
    def _cloudwatch_has_it(cls, days: int) -> int:
        if days not in _LOG_RETENTION_DAYS:
            raise ValueError(f"it must be one of {', '.join(map(str, _LOG_RETENTION_DAYS))}")
        return days

    @field_validator("cache_node_type")
    @classmethod
    def _has_a_price(cls, node_type: str) -> str:
        if node_type not in priced_cache_nodes():
            raise ValueError(f"it must be one of {', '.join(priced_cache_nodes())}")
        return node_type

    @field_validator("*", mode="wrap")
    @classmethod
    def _read_text(cls, value: Any, accept: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        """Accept what ``-c key=value`` makes of a value: always a string."""
        annotation = cls.model_fields[info.field_name].annotation if info.field_name else None
        problem: ValidationError | None = None
        for reading in _readings(value, as_list=get_origin(annotation) is list):
            try:
                return accept(reading)
            except ValidationError as error:
                problem = error
        assert problem is not None
        raise problem

    @property
    def has_cache(self) -> bool:
        """Whether the deployment has a Memcached cluster."""
        return self.cache_mode == "provisioned"

    @property
    def arm(self) -> bool:
        """Whether functions run on arm64."""
        machine = platform.machine().lower() if self.architecture == "auto" else self.architecture
        return machine in ("arm64", "aarch64")

    def job_defaults(self) -> dict[str, Any]:
        """The job that an execution with ``{}`` runs."""
        return self.model_dump(mode="json", include=set(Job.model_fields))


def read_settings(context: Mapping[str, Any]) -> Settings:
    """Validate the context; keys of CDK itself are ignored.

    Raises
    ------
    SettingsError
        With one sentence that names the key, the value and what is allowed.

    Examples
    --------
    >>> read_settings({"workers": "8", "@aws-cdk/core:checkSecretUsage": True}).workers
    8
    """
    given = {key: value for key, value in context.items() if not key.startswith(_CDK_KEYS)}
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        raise SettingsError(sentence(error, "deployment", Settings)) from None
    if settings.channel == "memcached" and not settings.has_cache:
        raise SettingsError(
            'channel = "memcached" is not allowed: cache_mode = "none" has no cache; choose another of the two.'
        )
    if settings.removal_policy == "destroy" and settings.packaging == "zip":
        raise SettingsError('removal_policy = "destroy" is not allowed with packaging = "zip": stop the twin instead.')
    if settings.memory_mb not in settings.worker_memory_sizes:
        sizes = ", ".join(map(str, settings.worker_memory_sizes))
        raise SettingsError(f"memory_mb = {settings.memory_mb} is not allowed: worker_memory_sizes has {sizes}.")
    if len(set(settings.worker_memory_sizes)) < len(settings.worker_memory_sizes):
        raise SettingsError(
            f"worker_memory_sizes = {settings.worker_memory_sizes} is not allowed: name each size once."
        )
    return settings


@cache
def priced_cache_nodes() -> tuple[str, ...]:
    """Node types whose price the library knows, so that a run can be billed."""
    prices = json.loads((files("paytrain.planner") / "facts" / "prices.json").read_text())
    return tuple(prices["elasticache_memcached"]["on_demand_hour"])


def _readings(value: Any, *, as_list: bool) -> Iterator[Any]:
    """What a value may mean: itself; if it is a string, the JSON in it or a list separated by commas."""
    yield value
    if not isinstance(value, str):
        return
    with suppress(ValueError):
        yield json.loads(value)
    if as_list:
        parts = [part.strip() for part in value.split(",") if part.strip()]
        yield parts
        yield [int(part) if part.isdecimal() else part for part in parts]
