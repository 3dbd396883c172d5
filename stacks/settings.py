"""What a deployment is told by CDK context: one typed, described field per key, unknown keys refused."""

import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from typing import Annotated, Any, Literal, get_origin

from pydantic import Field, ValidationError, ValidationInfo, ValidatorFunctionWrapHandler, field_validator

from paytrain import facts
from paytrain.errors import PaytrainError, sentence
from paytrain.job import AUTO, CHANNELS, MAX_WORKERS, Job

_CDK_KEYS = ("@aws-cdk", "@cdklabs", "aws:", "aws-cdk:", "cdk-", "acknowledged-issue-numbers", "cli-telemetry")
"""How the keys begin that CDK reads or its command line writes."""

_LOG_RETENTION_DAYS = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180),
    *(365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653),
)

_BUCKET = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
_KMS_KEY = r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+"
DataBucket = Annotated[
    str,
    Field(
        pattern=rf"^{_BUCKET}(={_KMS_KEY})?$",
        examples=["my-data", "my-data=arn:aws:kms:us-east-1:123456789012:key/abcd1234"],
    ),
]
EmailAddress = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", examples=["me@example.com"])]
ZoneId = Annotated[str, Field(pattern=r"^[a-z]{3,4}[0-9]-az[0-9]+$", examples=["use1-az4", "euw1-az1"])]
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
    image_build: Literal["docker", "codebuild"] = Field(
        "docker", description="where the worker's image is built: by this machine's Docker, or in the account"
    )
    architecture: Literal["x86_64", "arm64", "auto"] = Field("auto", description="auto: that of the deploying machine")
    worker_memory_sizes: list[MemoryMb] = Field(
        [1769, 3008], min_length=1, max_length=6, description="memory sizes for which there are workers"
    )
    worker_timeout_seconds: int = Field(900, ge=10, le=900, description="after which Lambda kills a worker")
    tmp_mb: int = Field(512, ge=512, le=10240, description="a worker's /tmp")
    max_workers: int = Field(MAX_WORKERS, ge=1, le=MAX_WORKERS, description="largest world size of a run")
    data_buckets: list[DataBucket] = Field([], max_length=10, description="from which models and data may come")
    cache_mode: Literal["provisioned", "per_execution", "none"] = Field(
        "provisioned", description="whether there is a Memcached cluster, or one for each run that asks for it"
    )
    cache_node_type: str = Field("cache.t4g.micro", description="of the Memcached cluster")
    cache_nodes: int = Field(1, ge=1, le=40, description="nodes of the Memcached cluster")
    cache_item_mb: int = Field(8, ge=1, le=128, description="largest item of the Memcached cluster, MiB")
    availability_zone_id: ZoneId | None = Field(
        None, description="of the directory bucket, which there is only if this is given, and of subnet and cache"
    )
    peer_timeout_seconds: int = Field(30, ge=1, le=600, description="how long a worker waits for a peer")
    gang_timeout_seconds: int = Field(120, ge=1, le=600, description="how long a lap waits for all its workers")
    max_attempts: int = Field(3, ge=1, le=20, description="attempts of a lap")
    log_retention_days: int = Field(30, description="after which logs are deleted")
    removal_policy: Literal["retain", "destroy"] = Field("retain", description="of stored data when the stack goes")
    notify_email: EmailAddress | None = Field(None, description="who is told when a run has ended")

    @field_validator("log_retention_days")
    @classmethod
    def _cloudwatch_has_it(cls, days: int) -> int:
        if days not in _LOG_RETENTION_DAYS:
            raise ValueError(f"it must be one of {', '.join(map(str, _LOG_RETENTION_DAYS))}")
        return days

    @field_validator("cache_node_type")
    @classmethod
    def _is_known(cls, node_type: str) -> str:
        if node_type not in known_cache_nodes():
            raise ValueError(f"it must be one of {', '.join(known_cache_nodes())}")
        return node_type

    @field_validator("data_buckets", mode="before")
    @classmethod
    def _as_pairs(cls, value: Any) -> Any:
        """Accept an object of bucket and key, too; ``null`` is a bucket without a key of its own."""
        if isinstance(value, Mapping):
            return [f"{bucket}={key}" if key is not None else bucket for bucket, key in value.items()]
        return value

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
        """Whether there is a Memcached cluster, be it only while a run needs it."""
        return self.cache_mode != "none"

    @property
    def has_network(self) -> bool:
        """Whether the deployment has a VPC: for the cache, or to be in the directory bucket's zone."""
        return self.has_cache or self.availability_zone_id is not None

    @property
    def channels(self) -> list[str]:
        """The channels that jobs may use."""
        optional = {"memcached": self.has_cache, "s3express": self.availability_zone_id is not None}
        return [channel for channel in CHANNELS if optional.get(channel, True)]

    @property
    def arm(self) -> bool:
        """Whether functions run on arm64."""
        machine = platform.machine().lower() if self.architecture == "auto" else self.architecture
        return machine in ("arm64", "aarch64")

    @property
    def data_bucket_keys(self) -> dict[str, str]:
        """Bucket of models and data → ARN of the KMS key that its objects are encrypted with, or nothing."""
        return {bucket: key for bucket, _, key in (pair.partition("=") for pair in self.data_buckets)}

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
    if settings.channel == "s3express" and settings.availability_zone_id is None:
        raise SettingsError('channel = "s3express" is not allowed: availability_zone_id must say where its bucket is.')
    if settings.availability_zone_id is not None and settings.packaging == "zip":
        raise SettingsError(
            f'availability_zone_id = "{settings.availability_zone_id}" is not allowed with packaging = "zip": '
            "the laptop twin has no directory buckets."
        )
    if settings.cache_mode == "per_execution" and ("--" in settings.stage or settings.stage.endswith("-")):
        raise SettingsError(
            f'stage = "{settings.stage}" is not allowed with cache_mode = "per_execution": clusters are named after '
            "it, and their names have no hyphens in a row."
        )
    if settings.removal_policy == "destroy" and settings.packaging == "zip":
        raise SettingsError('removal_policy = "destroy" is not allowed with packaging = "zip": stop the twin instead.')
    buckets = [pair.partition("=")[0] for pair in settings.data_buckets]
    if twice := next((bucket for bucket in buckets if buckets.count(bucket) > 1), None):
        raise SettingsError(f"data_buckets is not allowed to name {twice} twice: give each bucket once.")
    if settings.workers != AUTO and settings.workers > settings.max_workers:
        raise SettingsError(f"workers = {settings.workers} is not allowed: max_workers is {settings.max_workers}.")
    if settings.memory_mb not in (*settings.worker_memory_sizes, AUTO):
        sizes = ", ".join(map(str, settings.worker_memory_sizes))
        raise SettingsError(f"memory_mb = {settings.memory_mb} is not allowed: worker_memory_sizes has {sizes}.")
    if len(set(settings.worker_memory_sizes)) < len(settings.worker_memory_sizes):
        raise SettingsError(
            f"worker_memory_sizes = {settings.worker_memory_sizes} is not allowed: name each size once."
        )
    return settings


@cache
def known_cache_nodes() -> tuple[str, ...]:
    """Node types of which the library knows memory, network and price, so that a run can be planned and billed."""
    cluster = facts.read("limits")["elasticache_memcached"]
    priced = facts.read("prices")["elasticache_memcached"]["on_demand_hour"]
    known = priced.keys() & cluster["network_gbps"].keys() & cluster["max_cache_memory_mb"].keys()
    return tuple(node_type for node_type in priced if node_type in known)


def _readings(value: Any, *, as_list: bool) -> Iterator[Any]:
    """What a value may mean: itself; if it is a string, the JSON in it or a list separated by commas."""
    yield value
    if not isinstance(value, str):
        return
    parsed = None
    with suppress(ValueError):
        parsed = json.loads(value)
        yield parsed
    if as_list and not isinstance(parsed, (list, dict)):
        parts = [part.strip() for part in value.split(",") if part.strip()]
        yield parts
        yield [int(part) if part.isdecimal() else part for part in parts]
