"""Closing an attempt: once, whatever comes after; and a run keeps the checkpoints of two laps."""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError
from pydantic import BaseModel

from paytrain.control import close_lap as close_lap_module
from paytrain.control.close_lap import close_lap
from paytrain.control.environment import CloseEnvironment
from paytrain.exchange.votes import Vote
from paytrain.metering import Spending
from paytrain.plan import Plan
from paytrain.run import Checkpoint, Items, Outcome, Spent, Start, newest
from tests.unit.plans import plan

WORKERS = 2
ENVIRONMENT = CloseEnvironment.model_validate({"RUN_TABLE": "runs", "ARTIFACTS_BUCKET": "artifacts"})


@dataclass
class Run:
    """Run table and bucket of one run, in memory."""

    plan: Plan
    records: dict[str, Any] = field(default_factory=dict)
    saved: dict[Checkpoint, set[str]] = field(default_factory=dict)
    may_delete: bool = True
    spending: Spending = field(default_factory=lambda: Spending({"function": "close_lap"}, 0.0))

    def get(self, key: str) -> Any:
        return self.plan.model_dump_json().encode() if key.endswith("plan.json") else self.records.get(key)

    def put_once(self, item: str, record: BaseModel) -> bool:
        return self.records.setdefault(item, record.model_dump()) == record.model_dump()

    def outcomes(self, lap: int, attempt: int) -> dict[int, Outcome]:
        found = (self.records.get(Items.outcome(lap, attempt, rank)) for rank in range(WORKERS))
        return {outcome["rank"]: Outcome.model_validate(outcome) for outcome in found if outcome}

    def spent(self, prefix: str) -> list[Spent]:
        return []

    def claimed_ranks(self, lap: int, attempt: int) -> set[int]:
        return set(range(WORKERS))

    def checkpoints(self, run_id: str) -> dict[Checkpoint, set[str]]:
        return {checkpoint: set(parts) for checkpoint, parts in self.saved.items()}

    def delete_checkpoints(self, run_id: str, unwanted: Mapping[Checkpoint, Iterable[str]]) -> None:
        if not self.may_delete:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "DeleteObjects")
        for checkpoint in unwanted:
            self.saved.pop(checkpoint, None)

    def train(self, lap: int, attempt: int, *steps: int, status: Any = "stopped") -> Checkpoint:
        """What the workers of an attempt leave: checkpoints at some steps, and outcomes at the last of them."""
        for step in steps:
            last = Checkpoint(step=step, lap=lap, attempt=attempt)
            self.saved[last] = {"model"}
        for rank in range(WORKERS):
            outcome = Outcome(lap=lap, attempt=attempt, rank=rank, status=status, step=steps[-1], votes=Vote.TIME)
            self.put_once(Items.outcome(lap, attempt, rank), outcome)
        return last

    def start_of(self, lap: int, attempt: int) -> Checkpoint:
        return Start.model_validate(self.records[Items.start(lap, attempt)]).checkpoint

    def close(self, lap: int, attempt: int) -> dict[str, Any]:
        return close_lap({"run_id": "run", "lap": lap, "attempt": attempt}, ENVIRONMENT, self.spending)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run that has been planned, with three attempts a lap."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
    run = Run(plan(workers=WORKERS))
    zero = Checkpoint(step=0, lap=0, attempt=0)
    run.saved[zero] = {"model"}
    run.put_once(Items.start(0, 0), Start(checkpoint=zero, pace={"step": 1.0}))
    monkeypatch.setattr(close_lap_module, "Artifacts", lambda bucket: run)
    monkeypatch.setattr(close_lap_module, "RunTable", lambda table, run_id: run)
    return run


def test_a_long_relay_keeps_the_checkpoints_of_two_laps(run: Run) -> None:
    for lap in range(50):
        # given a lap that saves thrice
        begun = run.start_of(lap, 0)
        end = run.train(lap, 0, 30 * lap + 10, 30 * lap + 20, 30 * lap + 30)

        # when
        state = run.close(lap, 0)

        # then
        assert (state["next"], state["lap"], state["attempt"]) == ("continue", lap + 1, 0)
        assert run.start_of(lap + 1, 0) == end
        assert begun in run.saved
        assert len(run.saved) == 4


def test_a_retry_finds_the_checkpoint_that_it_begins_from(run: Run) -> None:
    # given: lap 1 fails twice, the first time after a checkpoint within the lap
    run.train(0, 0, 10)
    run.close(0, 0)
    within = Checkpoint(step=20, lap=1, attempt=0)
    run.saved[within] = {"model"}

    # when, then
    assert run.close(1, 0)["next"] == "retry"
    assert run.start_of(1, 1) == within
    assert run.close(1, 1)["next"] == "retry"
    assert run.start_of(1, 2) == within
    assert within in run.saved


def test_closing_again_at_any_later_time_gives_the_same_and_takes_nothing_that_is_needed(run: Run) -> None:
    # given
    answers: dict[tuple[int, int], dict[str, Any]] = {}
    history = [(0, 0, "stopped"), (1, 0, "failed"), (1, 1, "stopped"), (2, 0, "stopped"), (3, 0, "finished")]
    for step, (lap, attempt, status) in enumerate(history, start=1):
        if status != "failed":
            run.train(lap, attempt, step * 10, status=status)

        # when this attempt is closed, and all before it once more
        answers[lap, attempt] = run.close(lap, attempt)
        needed = newest(run.saved)
        records = dict(run.records)
        for at in itertools.chain(answers, reversed(answers)):
            # then
            assert run.close(*at) == answers[at]
        assert run.records == records
        assert needed in run.saved

    assert [answer["next"] for answer in answers.values()] == ["continue", "retry", "continue", "continue", "finished"]
    assert run.records[Items.FINAL] == {"step": 50, "lap": 3, "attempt": 0}


def test_a_run_does_not_fail_for_what_cannot_be_deleted(run: Run) -> None:
    # given
    run.may_delete = False

    # when
    for lap in range(3):
        run.train(lap, 0, 10 * lap + 10)

        # then
        assert run.close(lap, 0)["next"] == "continue"
