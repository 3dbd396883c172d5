"""What a warm sandbox keeps between invocations: data in memory, and a trainer whose functions are traced.

Nothing that a run computes lives here: every lap loads its checkpoint into the trainer before its first step.
"""

from collections.abc import Sequence
from typing import IO, Any

import keras

from paytrain.exchange.wires import WIRES
from paytrain.memory import give_back_freed
from paytrain.plan import Plan, Source
from paytrain.store import opened
from paytrain.training.data import Rows, read_all
from paytrain.training.model import load_model, replace_learning_rate
from paytrain.training.trainer import Trainer

_data: dict[tuple[Source, ...], Rows] = {}
_trainers: dict[tuple[str, str, str], Trainer] = {}


def data_of(sources: Sequence[Source]) -> Rows:
    """The samples of some sources; read once while the sandbox lives."""
    key = tuple(sources)
    if key not in _data:
        _data[key] = read_all(sources)
    return _data[key]


def trainer_of(plan: Plan, rows: Rows) -> Trainer:
    """A trainer for the plan's model; built and traced once while the sandbox lives.

    Its variables have whatever values the last user left: set them before training.
    """
    model, rate = plan.prepared.model, plan.job.learning_rate
    key = _key(model, plan.wire, rate)
    if key not in _trainers:
        forget_trainers()
        with opened(model.uri, model.etag) as file:
            fresh = fresh_model(file, model.uri, plan.wire, rate)
        _trainers[key] = Trainer(fresh, plan.wire, rows.take(slice(1)))
    return _trainers[key]


def keep(trainer: Trainer, model: Source, wire: str, learning_rate: float | dict[str, Any] | None) -> None:
    """Keep a trainer that was made for a model, for :func:`trainer_of`."""
    _trainers[_key(model, wire, learning_rate)] = trainer


def keep_only(sources: Sequence[tuple[Source, ...]]) -> None:
    """Forget other runs' data, so that a warm sandbox does not collect them."""
    for key in set(_data) - set(sources):
        del _data[key]


def forget_trainers() -> None:
    """Free other models before a new one is built."""
    for trainer in _trainers.values():
        trainer.release()
    _trainers.clear()
    keras.backend.clear_session(free_memory=True)
    give_back_freed()


def fresh_model(file: IO[bytes], uri: str, wire: str, learning_rate: float | dict[str, Any] | None) -> Any:
    """A model as it is in its file, with the job's learning rate if there is one."""
    keras.config.set_floatx(WIRES[wire].dtype.name)
    model = load_model(file, uri)
    replace_learning_rate(model, learning_rate)
    return model


def _key(model: Source, wire: str, learning_rate: float | dict[str, Any] | None) -> tuple[str, str, str]:
    """By content: every run has a copy of its own."""
    return model.etag, wire, repr(learning_rate)
