"""What a warm sandbox keeps between invocations: data in memory, and a trainer whose functions are traced.

Nothing that a run computes lives here: every lap loads its checkpoint into the trainer before its first step.
"""

from collections.abc import Sequence
from typing import Any

import keras

from paytrain.job import Job
from paytrain.plan import Source
from paytrain.store import read_source
from paytrain.training.data import Rows, read_all
from paytrain.training.model import load_model, replace_learning_rate
from paytrain.training.trainer import Trainer

_data: dict[tuple[Source, ...], Rows] = {}
_trainers: dict[tuple[Source, str, str], Trainer] = {}


def data_of(sources: Sequence[Source]) -> Rows:
    """The samples of some sources; read once while the sandbox lives."""
    key = tuple(sources)
    if key not in _data:
        _data[key] = read_all(sources)
    return _data[key]


def trainer_of(job: Job, model: Source, rows: Rows) -> Trainer:
    """A trainer for the job's model; built and traced once while the sandbox lives.

    Its variables have whatever values the last user left: set them before training.
    """
    key = (model, job.wire, repr(job.learning_rate))
    if key not in _trainers:
        forget_trainers()
        _trainers[key] = Trainer(fresh_model(job, model), job.wire, rows.x[:1], rows.y[:1])
    return _trainers[key]


def keep_only(sources: Sequence[tuple[Source, ...]]) -> None:
    """Forget other runs' data, so that a warm sandbox does not collect them."""
    for key in set(_data) - set(sources):
        del _data[key]


def forget_trainers() -> None:
    """Free other models before a new one is built."""
    _trainers.clear()
    keras.backend.clear_session(free_memory=True)


def fresh_model(job: Job, source: Source) -> Any:
    """The job's model as it is in its file, with the job's learning rate."""
    keras.config.set_floatx(job.wire)
    model = load_model(read_source(source.uri, source.etag), source.uri)
    replace_learning_rate(model, job.learning_rate)
    return model
