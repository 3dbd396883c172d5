"""The job: what a user asks for. The execution input merged with the deployment's defaults."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from paytrain.errors import JobError, sentence

MAX_WORKERS = 1000
CHANNELS = ("s3", "s3express", "dynamodb", "memcached")
PATTERNS = ("all_gather", "scatter_reduce", "hierarchical", "leader")
WIRE_ITEM_BYTES = {"float32": 4, "float64": 8, "bfloat16": 2, "float16": 2, "int8": 1 + 4 / 512, "topk": 8 / 100}
"""Bytes of a number on each wire, in long vectors."""
EXACT_WIRES = ("float32", "float64")
WIRES_WITH_RESIDUAL = ("int8", "topk")
"""Those that keep what they have not sent, on every rank and in its checkpoint part."""

CONSOLE_SAMPLE_KEY = "Comment"
"""The Step Functions console offers ``{"Comment": ...}`` as input; the key is ignored."""

_S3_URI = r"s3://[a-z0-9][a-z0-9.-]+/.+"
AUTO: Literal["auto"] = "auto"
Auto = Literal["auto"]
"""Left to the planner."""

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
    workers: Annotated[int, Field(ge=1, le=MAX_WORKERS)] | Auto = Field(4, description="world size")
    memory_mb: Annotated[int, Field(ge=128, le=10240)] | Auto = Field(
        1769, description="memory of a worker; 1,769 MB are one vCPU"
    )
    channel: Literal["auto", "s3", "s3express", "dynamodb", "memcached"] = Field(
        "auto", description="who carries the gradients"
    )
    pattern: Literal["auto", "all_gather", "scatter_reduce", "hierarchical", "leader"] = Field(
        "auto", description="the all-reduce algorithm"
    )
    wire: Literal["auto", "float32", "float64", "bfloat16", "float16", "int8", "topk"] = Field(
        "float32", description="how gradients travel; float32 and float64 are exact for variables of that type"
    )
    sync_every: Annotated[int, Field(ge=1, le=10_000)] | Auto = Field(
        1, description="steps that workers make alone between two exchanges"
    )
    early_stopping: EarlyStopping | None = Field(None, description="stop when a metric no longer improves")
    learning_rate: Annotated[float, Field(gt=0)] | Schedule | None = Field(
        None, description="replaces the optimizer's: a number or a serialized Keras schedule"
    )
    budget_usd: Annotated[float, Field(gt=0)] | None = Field(
        None, description="what the run may cost at list prices; it stops in time to export a model"
    )
    deadline_minutes: Annotated[float, Field(gt=0)] | None = Field(
        None, description="how long the run may take; it stops in time to export a model"
    )
    checkpoint_every: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto", description="steps between checkpoints within a lap"
    )

    @field_validator("model")
    @classmethod
    def _model_is_keras_file(cls, uri: str) -> str:
        if uri.startswith("s3://") and not uri.endswith(".keras"):
            raise ValueError('it must be a .keras file, as model.save("name.keras") writes it')
        return uri

    @field_validator("sync_every")
    @classmethod
    def _travels_exactly(cls, steps: int | str, info: ValidationInfo) -> int | str:
        wire = info.data.get("wire", AUTO)
        if steps not in (1, AUTO) and wire not in (*EXACT_WIRES, AUTO):
            raise ValueError(
                f'with wire = "{wire}" it must be 1: rounding could turn the optimizer\'s second moments negative; '
                f"for local steps choose {' or '.join(EXACT_WIRES)}"
            )
        return steps


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
