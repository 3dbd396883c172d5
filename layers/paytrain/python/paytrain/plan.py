"""The plan: how a job will be run. Written once by the Plan state, read by every worker."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from paytrain.job import WIRES_WITH_RESIDUAL, Job


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
    model, sample
        The run's own copies of the model's file and of one row of the data: with them a run that has spent money
        can export a model whatever happens to the user's objects.
    train, validation
        Where the data are.
    parameters, state_elements
        Trainable numbers: the length of a gradient; with them the optimizer's floating numbers, which local steps
        exchange, too.
    own_elements, has_own_state
        Floating numbers that every rank has for itself (BatchNorm's moving statistics), exchanged once an epoch;
        whether it has any state of its own, numbers of other types included.
    metric_elements
        Numbers of the metrics' state, the loss included.
    exact_wire
        The wire on which the model's numbers travel as they are.
    model_bytes, optimizer_bytes, data_bytes
        Of variables and arrays.
    memory_mb, vcpus
        Of the function in which Prepare ran; its processors, as it sees them.
    samples, validation_samples
        Rows of the training and validation data; 0 without validation data.
    is_larger_better
        Whether the metric that early stopping monitors is to be maximised.
    step_seconds, save_seconds
        One real step and one real checkpoint, as measured; the stop rule starts from them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Source
    sample: Source
    train: tuple[Source, ...]
    validation: tuple[Source, ...]
    parameters: int
    state_elements: int
    own_elements: int
    has_own_state: bool
    metric_elements: int
    exact_wire: Literal["float32", "float64"]
    model_bytes: int
    optimizer_bytes: int
    data_bytes: int
    memory_mb: int
    vcpus: int
    samples: int
    validation_samples: int
    is_larger_better: bool
    step_seconds: float
    save_seconds: float

    def vector_elements(self, sync_every: int) -> int:
        """Length of the vector that ranks exchange in a round: a gradient, or what local steps have changed."""
        return self.parameters if sync_every == 1 else self.state_elements


class Reserve(BaseModel):
    """What the run keeps for its end, so that budget and deadline hold.

    Attributes
    ----------
    started
        When the execution began, seconds since 1970.
    lap_seconds, lap_usd
        Of a lap before its first step; what its workers cost beside their seconds and rounds.
    round_usd
        Requests of a round over all ranks.
    finish_seconds, finish_usd
        From a lap's last checkpoint to the end of the run.
    gang_usd_per_second, finish_usd_per_second, cache_usd_per_second
        Of all workers, of Finish, and of the cache while the run goes on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    started: float
    lap_seconds: float
    lap_usd: float
    round_usd: float
    finish_seconds: float
    finish_usd: float
    gang_usd_per_second: float
    finish_usd_per_second: float
    cache_usd_per_second: float


class Predicted(BaseModel):
    """What a plan was expected to take, from start to end, and to cost.

    Attributes
    ----------
    seconds, usd
        ``low``, ``expected`` and ``high``.
    profile
        Whose latencies and bandwidths the estimate is for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seconds: dict[str, float]
    usd: dict[str, float]
    profile: str


class Candidate(BaseModel):
    """A way to run the job that was considered, with what it was expected to take and cost."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channel: str
    pattern: str
    workers: int
    memory_mb: int
    wire: str
    sync_every: int
    seconds: float
    usd: float


class Considered(BaseModel):
    """What the planner looked at for a job that leaves something to ``auto``.

    Attributes
    ----------
    chosen, reasons
        Its choice; why, a sentence each.
    advice
        When Lambda is not the place for this job; else empty.
    front
        Candidates of which no other is both faster and cheaper, the fastest first.
    others, refused
        Some more, the cheapest first; some that cannot work, with the reason.
    ways
        All that were looked at.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    chosen: Candidate
    reasons: list[str]
    advice: str
    front: list[Candidate]
    others: list[Candidate]
    refused: dict[str, str]
    ways: int


class Plan(BaseModel):
    """How a job is run: everything the ranks must agree on.

    Attributes
    ----------
    sync_every
        Steps of a round.
    segments, window
        How many independently exchanged slices the vector is cut into; how many pieces of each are read at once.
    item_bytes
        Largest item of the channel; larger parts are split inside it.
    peer_timeout_seconds, gang_timeout_seconds
        How long to wait for a peer's object; how long for the gang to assemble in a lap's first round.
    steps_per_epoch, total_steps
        Optimizer steps.
    cache_mode
        Of the deployment: one cluster for all runs, one for each run that needs it, or none.
    cache_id
        Of the cluster that this run has for itself; empty if it has none.
    cache_endpoint
        ``host:port`` of the Memcached cluster's configuration endpoint; empty for the other channels, and until the
        run's own cluster is open.
    cache_node_type, cache_nodes
        Of the cluster, for the bill; empty and 0 without one.
    express_bucket
        The deployment's directory bucket; empty for the other channels.
    notifies
        Whether the end of a run is a state more, that tells somebody of it.
    considered
        What the planner looked at; None if it was not asked.
    function, single_function
        Qualified ARNs of the worker function that runs the laps, and of the one for Prepare and Finish.
    predicted
        Time and cost of the whole run; None where no estimate is possible.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    run_id: str
    job: Job
    workers: int
    channel: Literal["s3", "s3express", "dynamodb", "memcached"]
    pattern: Literal["all_gather", "scatter_reduce", "hierarchical", "leader"]
    wire: Literal["float32", "float64", "bfloat16", "float16", "int8", "topk"]
    sync_every: int
    memory_mb: int
    segments: int
    window: int
    item_bytes: int
    peer_timeout_seconds: float
    gang_timeout_seconds: float
    max_attempts: int
    checkpoint_every: int
    steps_per_epoch: int
    total_steps: int
    cache_mode: Literal["provisioned", "per_execution", "none"]
    cache_id: str
    cache_endpoint: str
    cache_node_type: str
    cache_nodes: int
    express_bucket: str = ""
    notifies: bool
    function: str
    single_function: str
    prepared: Prepared
    reserve: Reserve
    predicted: Predicted | None = None
    considered: Considered | None = None

    @property
    def uses_cache(self) -> bool:
        """Whether anything is exchanged over Memcached; one worker exchanges nothing."""
        return self.channel == "memcached" and self.workers > 1

    @property
    def has_rank_parts(self) -> bool:
        """Whether a checkpoint has a part of every rank, for the model's own state or the wire's residuals."""
        return self.prepared.has_own_state or self.wire in WIRES_WITH_RESIDUAL
