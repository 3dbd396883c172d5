"""How fast the services are: what was measured in the account, and what the library ships where nothing was."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from paytrain import facts
from paytrain.errors import PaytrainError, sentence

KEY = "profile/service_profile.json"
"""Of the measured profile, in the artifacts bucket."""

_WHOLE = ("quantiles_ms", "lognormal")
"""Distributions: points of two of them do not mix."""


class ProfileError(PaytrainError):
    """The measured profile cannot be used.

    Likely cause: it was edited by hand.
    """


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Measurement(_Model):
    """When, where and how a service was measured."""

    date: date
    region: str
    memory_mb: PositiveInt
    samples: dict[str, PositiveInt] = Field(description="requests of each kind, by bytes of the object; starts")


class Value(_Model):
    """One figure."""

    value: float = Field(ge=0)


class Lognormal(_Model):
    """Of a latency in milliseconds."""

    mu_ln_ms: float
    sigma: float = Field(ge=0)


class Quantiles(_Model):
    """Of a latency, milliseconds."""

    min: PositiveFloat
    p5: PositiveFloat
    p25: PositiveFloat
    p50: PositiveFloat
    p75: PositiveFloat
    p90: PositiveFloat
    p95: PositiveFloat
    p99: PositiveFloat

    @model_validator(mode="after")
    def _in_order(self) -> "Quantiles":
        values = [value for _, value in self]
        if values != sorted(values):
            raise ValueError("no quantile may be smaller than the one before")
        return self


class Operation(_Model):
    """Time to the first byte of a small object, and megabytes per second beyond it where they were measured."""

    quantiles_ms: Quantiles
    lognormal: Lognormal
    stream_mb_s: PositiveFloat | None = None


class S3(_Model):
    """S3, a general purpose or a directory bucket."""

    put: Operation
    get: Operation


class DynamoDB(_Model):
    """DynamoDB, whose larger items take longer inside the service."""

    put: Operation
    get: Operation
    per_kb_extra_ms: Value


class Memcached(_Model):
    """Memcached."""

    set: Operation
    get: Operation


class Start(_Model):
    """The start of a worker."""

    python_tf_container_cold_s: Value


class Meta(_Model):
    """About the measurements."""

    measured: dict[Literal["s3_standard", "s3_express", "dynamodb", "memcached", "lambda_invoke"], Measurement] = Field(
        min_length=1
    )
    python_overhead_ms: Value | None = None


class Measured(_Model):
    """A measured profile: the part of ``facts/service_profile.json`` that can be measured, in the same form."""

    model_config = ConfigDict(populate_by_name=True)

    meta: Meta = Field(alias="_meta")
    s3_standard: S3 | None = None
    s3_express: S3 | None = None
    dynamodb: DynamoDB | None = None
    memcached: Memcached | None = None
    lambda_invoke: Start | None = None


class Store(Protocol):
    """What is asked of the artifacts bucket."""

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""

    def get(self, key: str) -> bytes:
        """Read an object."""


def origin(found: Measured | None) -> str:
    """Say whose figures plans are made with, and of which day."""
    if found is None:
        return f"AWS's, as compiled on {facts.read('limits')['_meta']['compiled']}"
    return f"this account's, as measured on {max(each.date for each in found.meta.measured.values())}"


def measured(artifacts: Store) -> Measured | None:
    """What calibration has stored; None before the first one.

    Raises
    ------
    ProfileError
        With one sentence, when it is not what calibration writes.
    """
    return parse(artifacts.get(KEY), f"{KEY} in the artifacts bucket") if artifacts.exists(KEY) else None


def parse(text: bytes, where: str) -> Measured:
    """Read a measured profile.

    Parameters
    ----------
    where
        It is stored, for the sentence.

    Raises
    ------
    ProfileError
        With one sentence, when it is not what calibration writes.
    """
    try:
        return Measured.model_validate_json(text)
    except ValidationError as error:
        problem = sentence(error, "measured profile", Measured)
        raise ProfileError(f"{where} cannot be used: {problem} Delete it, and calibrate again if you wish.") from None


def over_built_in(found: Measured | None) -> dict[str, Any]:
    """``facts/service_profile.json`` with everything in its place that was measured."""
    return merged(facts.read("service_profile"), as_json(found)) if found else facts.read("service_profile")


def as_json(found: Measured) -> dict[str, Any]:
    """The measured profile as it is stored."""
    return found.model_dump(mode="json", by_alias=True, exclude_none=True)


def merged(built_in: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """The first, with the second's figures in their places; a distribution takes the place of the whole other one."""
    result = dict(built_in)
    for key, value in found.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), Mapping) and key not in _WHOLE:
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result
