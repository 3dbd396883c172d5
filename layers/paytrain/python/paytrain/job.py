"""The job: what a user asks for. The execution input merged with the deployment's defaults."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from paytrain.errors import JobError, sentence

MAX_WORKERS = 1000
CHANNELS = ("s3", "dynamodb", "memcached")
PATTERNS = ("all_gather", "scatter_reduce", "leader")
WIRE_ITEM_BYTES = {"float32": 4, "float64": 8}
"""Bytes of a number on each wire."""

CONSOLE_SAMPLE_KEY = "Comment"
"""The Step Functions console offers ``{"Comment": ...}`` as input; the key is ignored."""

_S3_URI = r"s3://[a-z0-9][a-z0-9.-]+/.+"
S3Uri = Annotated[str, Field(pattern=f"^{_S3_URI}$", examples=["s3://bucket/train.npz"])]
Uri = Annotated[
    str, Field(pattern=f"^({_S3_URI}|example:[a-z0-9_-]+)$", examples=["s3://bucket/train.npz", "example:mnist"])
]
Schedule = Annotated[
    dict[str, Any],
    Field(examples=[{"class_name": "CosineDecay", "config": {"initial_learning_rate": 0.1, "decay_steps": 1000}}]),
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Data(_Strict):
    """Where the samples are: ``.npz`` objects with ``x`` and ``y``, first axis the samples."""

    train: S3Uri
    validation: S3Uri | None = None


class EarlyStopping(_Strict):
    """When to stop before the last epoch, as in ``keras.callbacks.EarlyStopping``."""

    monitor: str = "val_loss"
    patience: Annotated[int, Field(ge=0)] = 0
    min_delta: Annotated[float, Field(ge=0)] = 0.0


class Job(_Strict):
    """A training job. Every field is a context key with the same name and default.

    Batch sizes are per worker: ``workers`` × ``batch_size`` samples make one optimizer step.
    """

    model: Uri = Field(
        "example:mnist",
        examples=["s3://bucket/name.keras", "example:mnist"],
        description="a compiled Keras model, s3://bucket/name.keras or example:name",
    )
    data: Data | Uri = Field("example:mnist", description="training and validation data, or example:name")
    epochs: int = Field(3, ge=1, le=100_000, description="passes over the training data")
    batch_size: int = Field(64, ge=1, le=1_000_000, description="samples per worker and step")
    seed: int = Field(1, ge=0, le=2**63 - 1, description="of the order of samples, Dropout and the like")
    shuffle: bool = Field(True, description="a new order of the samples in every epoch, as in Keras")
    workers: int = Field(4, ge=1, le=MAX_WORKERS, description="world size")
    memory_mb: int = Field(1769, ge=128, le=10240, description="memory of a worker; 1,769 MB are one vCPU")
    channel: Literal["auto", "s3", "dynamodb", "memcached"] = Field("auto", description="who carries the gradients")
    pattern: Literal["auto", "all_gather", "scatter_reduce", "leader"] = Field(
        "auto", description="the all-reduce algorithm"
    )
    wire: Literal["float32", "float64"] = Field(
        "float32", description="how numbers travel; exact for variables of that type"
    )
    early_stopping: EarlyStopping | None = Field(None, description="stop when a metric no longer improves")
    learning_rate: Annotated[float, Field(gt=0)] | Schedule | None = Field(
        None, description="replaces the optimizer's: a number or a serialized Keras schedule"
    )
    checkpoint_every: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto", description="steps between checkpoints within a lap"
    )

    @field_validator("model")
    @classmethod
    def _model_is_keras_file(cls, uri: str) -> str:
        if uri.startswith("s3://") and not uri.endswith(".keras"):
            raise ValueError("it must end with .keras")
        return uri


def parse_job(given: Any, defaults: Mapping[str, Any]) -> Job:
    """Merge an execution input with the defaults and validate the result.

    Parameters
    ----------
    given
        The execution input; ``{}`` and the console's sample mean the defaults.
    defaults
        Job keys set by the deployment.

    Raises
    ------
    JobError
        With one sentence that names the key, the value and what is allowed.

    Examples
    --------
    >>> parse_job({"epochs": 1}, {"workers": 2}).workers
    2
    """
    if not isinstance(given, Mapping):
        raise JobError(
            f'The execution input must be a JSON object such as {{"epochs": 3}}, not {json.dumps(given)[:60]}.'
        )
    chosen = {key: value for key, value in given.items() if key != CONSOLE_SAMPLE_KEY}
    try:
        return Job.model_validate({**defaults, **chosen})
    except ValidationError as error:
        raise JobError(sentence(error, "job", Job)) from None
