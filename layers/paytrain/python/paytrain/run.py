"""The names under which a run is stored, and the small records it leaves. No I/O here."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

COMMON_PART = "model"
"""A checkpoint's part that rank 0 writes for all: weights, optimizer, progress."""

RUN_STOPPED = "RunStopped"
"""The error of a run that somebody outside has ended, which is no failure of its own."""

THROTTLED = "Lambda.TooManyRequestsException"
"""The error of a worker that never ran: Lambda had no room for it."""

PHASES = ("start", "load", "compute", "encode", "wait", "reduce", "apply", "evaluate", "checkpoint", "other")
"""What a worker's seconds go to; ``wait`` is for the channel and the peers."""

_SAFE_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


def run_id_of(execution_name: str) -> str:
    """The run's id: the execution's name, or its digest when it has characters that keys should not have."""
    if _SAFE_RUN_ID.fullmatch(execution_name):
        return execution_name
    return hashlib.sha256(execution_name.encode()).hexdigest()[:32]


def cache_id_of(prefix: str, run_id: str) -> str:
    """Id of the Memcached cluster that a run has for itself.

    ElastiCache takes at most 50 letters, digits and hyphens: 16 digits of a digest stand for the run, and leave 33
    to the prefix.
    """
    return f"{prefix}-{hashlib.sha256(run_id.encode()).hexdigest()[:16]}"


class Keys:
    """Keys of a run's objects in the artifacts bucket."""

    def __init__(self, run_id: str) -> None:
        self.prefix = f"runs/{run_id}/"
        self.job = f"{self.prefix}job.json"
        self.prepared = f"{self.prefix}prepared.json"
        self.plan = f"{self.prefix}plan.json"
        self.source = f"{self.prefix}source.keras"
        self.sample = f"{self.prefix}sample.npz"
        self.checkpoints = f"checkpoints/{run_id}/"
        self.model = f"{self.prefix}model.keras"
        self.history = f"{self.prefix}history.json"
        self.receipt = f"{self.prefix}receipt.json"

    def checkpoint_part(self, checkpoint: "Checkpoint", part: str) -> str:
        """Key of one part: ``model`` (rank 0's) or ``rank-<n>`` (a rank's own)."""
        at = f"{checkpoint.step:09d}/{checkpoint.lap:05d}-{checkpoint.attempt:02d}"
        return f"{self.checkpoints}{at}/{part}.npz"


class Checkpoint(BaseModel):
    """Names a checkpoint: the step after which, and the lap and attempt in which it was written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    step: int
    lap: int
    attempt: int


def rank_part(checkpoint: Checkpoint, rank: int) -> str:
    """Name of a rank's own part; at step 0 all ranks are alike and share one."""
    return f"rank-{rank if checkpoint.step else 0}"


def parts_of(checkpoint: Checkpoint, workers: int, has_own: bool) -> set[str]:
    """Names of all parts of a complete checkpoint."""
    own = {rank_part(checkpoint, rank) for rank in range(workers)} if has_own else set()
    return {COMMON_PART, *own}


def complete(found: Mapping[Checkpoint, set[str]], workers: int, has_own: bool) -> set[Checkpoint]:
    """The checkpoints whose parts all exist."""
    return {c for c, parts in found.items() if parts_of(c, workers, has_own) <= parts}


def newest(checkpoints: Iterable[Checkpoint]) -> Checkpoint:
    """The checkpoint of the latest step, of equal steps the one written last; that of step 0 when there is none."""
    return max(checkpoints, key=lambda c: (c.step, c.lap, c.attempt), default=Checkpoint(step=0, lap=0, attempt=0))


class Outcome(BaseModel):
    """How a rank's part in an attempt ended.

    Attributes
    ----------
    lap, attempt, rank
        Whose outcome it is.
    status
        ``stopped``: by common vote, the run goes on; ``finished``: the run's last step is done;
        ``left``: went because of others; ``failed``: died or raised.
    step
        The step after which it ended.
    votes
        The reasons to stop on which all ranks acted (:class:`paytrain.exchange.votes.Vote`).
    error, cause
        Only when failed: the exception's type and its sentence.
    seconds
        Seconds per phase (:data:`PHASES`); together they are what is billed until the outcome is written.
    samples_per_second
        Of the whole gang in steady state: without the lap's first round, epoch ends and saving.
    pace
        The longest duration of each phase, for the next lap's stop rule.
    peak_memory_mb
        The most that the worker's process has had in memory since its sandbox started, MB of 2**20 bytes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    lap: int
    attempt: int
    rank: int
    status: Literal["stopped", "finished", "left", "failed"]
    step: int
    votes: int = 0
    error: str = ""
    cause: str = ""
    seconds: dict[str, float] = Field(default_factory=dict)
    samples_per_second: float = 0.0
    pace: dict[str, float] = Field(default_factory=dict)
    peak_memory_mb: int = 0


class Spent(BaseModel):
    """What one invocation of a function used; the receipt prices it.

    Attributes
    ----------
    function
        What it did: ``resolve``, ``prepare``, ``plan``, ``open_cache``, ``lap``, ``close_lap``, ``finish``,
        ``explain``, ``stop_run``, ``calibrate``.
    lap, attempt, rank
        Whose invocation it was, as far as it was one of a lap's.
    architecture, memory_mb, tmp_mb
        Of the function: ``x86_64`` or ``arm64``; its memory, its /tmp.
    began
        When its handler was entered, seconds since 1970.
    init_seconds, seconds
        Of a cold start, which is billed; of the handler.
    failed
        Whether it raised.
    requests
        Of the run table, the model, the data and the checkpoints, by kind.
    exchange
        What the channel counted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    function: str
    lap: int | None = None
    attempt: int | None = None
    rank: int | None = None
    architecture: str
    memory_mb: int
    tmp_mb: int
    began: float
    init_seconds: float
    seconds: float
    failed: bool = False
    requests: dict[str, float] = Field(default_factory=dict)
    exchange: dict[str, float] = Field(default_factory=dict)


class Items:
    """Sort keys of a run's items in the run table; the partition key is the run id."""

    RUN = "run"
    STOP = "stop"
    PROGRESS = "progress"
    FINAL = "final"
    SPENT = "spent#"

    @staticmethod
    def start(lap: int, attempt: int) -> str:
        """From which checkpoint an attempt starts."""
        return f"start#{lap}#{attempt}"

    @staticmethod
    def claims(lap: int, attempt: int) -> str:
        """Prefix of the claims of an attempt."""
        return f"claim#{lap}#{attempt}#"

    @staticmethod
    def claim(lap: int, attempt: int, rank: int) -> str:
        """Which invocation acts as a rank."""
        return f"{Items.claims(lap, attempt)}{rank}"

    @staticmethod
    def outcomes(lap: int, attempt: int) -> str:
        """Prefix of the outcomes of an attempt."""
        return f"outcome#{lap}#{attempt}#"

    @staticmethod
    def outcome(lap: int, attempt: int, rank: int) -> str:
        """How a rank ended."""
        return f"{Items.outcomes(lap, attempt)}{rank}"

    @staticmethod
    def closed(lap: int, attempt: int) -> str:
        """What CloseLap has decided about an attempt."""
        return f"closed#{lap}#{attempt}"

    @staticmethod
    def abort(lap: int, attempt: int) -> str:
        """The mark that tells the ranks of an attempt to leave."""
        return f"abort#{lap}#{attempt}"

    @staticmethod
    def spent(lap: int | None, attempt: int | None) -> str:
        """Prefix of what the invocations of an attempt have used; of those outside all laps without numbers."""
        return f"{Items.SPENT}{'' if lap is None else lap}#{'' if attempt is None else attempt}#"


class Start(BaseModel):
    """Where an attempt starts.

    Attributes
    ----------
    checkpoint
        From which all its ranks go on.
    pace
        How long things took before: the stop rule's first expectation, in seconds.
    usd
        What the run has cost so far, without the cache.
    at
        When it was decided, seconds since 1970: no worker of the attempt has started before.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    checkpoint: Checkpoint
    pace: dict[str, float]
    usd: float = 0.0
    at: float = 0.0
