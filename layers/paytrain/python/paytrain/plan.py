"""The plan: how a job will be run. Written once by the Plan state, read by every worker."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from paytrain.job import Job


def steps_per_epoch(samples: int, global_batch_size: int) -> int:
    """Optimizer steps in an epoch, the short last one included."""
    return -(-samples // global_batch_size)


class Source(BaseModel):
    """An object in S3 as Prepare saw it; whoever reads it later insists on the same content.

    Attributes
    ----------
    uri
        ``s3://bucket/key``.
    etag
        S3's tag of the content.
    rows
        Samples in it; 0 for a model.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    uri: str
    etag: str
    rows: int = 0


class Prepared(BaseModel):
    """What Prepare found out about the model and the data; the Plan state decides from it.

    Attributes
    ----------
    model, train, validation
        Where they are.
    parameters
        Trainable numbers: the length of the vector that is exchanged.
    own_elements, has_own_state
        Floating numbers that every rank has for itself (BatchNorm's moving statistics), exchanged once an epoch;
        whether it has any state of its own, numbers of other types included.
    metric_elements
        Numbers of the metrics' state, the loss included.
    samples, validation_samples
        Rows of the training and validation data; 0 without validation data.
    variable_type
        dtype of the trainable variables.
    step_seconds, save_seconds
        One real step and one real checkpoint, as measured; the stop rule starts from them.
    seconds
        What Prepare took, for the bill.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Source
    train: tuple[Source, ...]
    validation: tuple[Source, ...]
    parameters: int
    own_elements: int
    has_own_state: bool
    metric_elements: int
    samples: int
    validation_samples: int
    variable_type: str
    step_seconds: float
    save_seconds: float
    seconds: float


class Plan(BaseModel):
    """How a job is run: everything the ranks must agree on.

    Attributes
    ----------
    segments
        How many independently exchanged slices the vector is cut into.
    item_bytes
        Largest item of the channel; larger parts are split inside it.
    peer_timeout_seconds, gang_timeout_seconds
        How long to wait for a peer's object; how long for the gang to assemble in a lap's first round.
    steps_per_epoch, total_steps
        Optimizer steps.
    cache_endpoint
        ``host:port`` of the Memcached cluster's configuration endpoint; empty for the other channels.
    function, single_function
        Qualified ARNs of the worker function that runs the laps, and of the one for Prepare and Finish.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    run_id: str
    job: Job
    workers: int
    channel: Literal["s3", "dynamodb", "memcached"]
    pattern: Literal["all_gather", "scatter_reduce", "leader"]
    wire: Literal["float32", "float64"]
    memory_mb: int
    segments: int
    item_bytes: int
    peer_timeout_seconds: float
    gang_timeout_seconds: float
    max_attempts: int
    checkpoint_every: int
    steps_per_epoch: int
    total_steps: int
    cache_endpoint: str
    function: str
    single_function: str
    prepared: Prepared
