"""One rank's training loop within a lap: load a checkpoint, do rounds until a vote to stop, save."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import numpy as np

from paytrain.channels.base import Channel
from paytrain.channels.open import open_channel
from paytrain.errors import LapTooShort, PaytrainError
from paytrain.exchange.all_reduce import AllReduce
from paytrain.exchange.driver import Driver, Patience
from paytrain.exchange.frame import Tally
from paytrain.exchange.segments import even_slices
from paytrain.exchange.votes import Vote
from paytrain.plan import Plan
from paytrain.run import Checkpoint, Items, Keys, Outcome, Start
from paytrain.store import Artifacts, RunTable
from paytrain.training import sandbox, state
from paytrain.training.batches import Batches, generator_seeds
from paytrain.training.early_stopping import should_stop
from paytrain.training.environment import WorkerEnvironment
from paytrain.training.meter import Meter
from paytrain.training.stop_rule import Pace, Round, may_start, must_stop
from paytrain.training.watch import Watch

LEAVE_SECONDS = 1.0
"""Waits end this long before the invocation would be killed, for the outcome's record."""
_REPORT_SECONDS = 2.0


@dataclass(frozen=True)
class Invocation:
    """Which part of a run an invocation is, and how long it may take.

    Attributes
    ----------
    seconds_left
        Until the platform kills the invocation.
    """

    run_id: str
    lap: int
    attempt: int
    rank: int
    seconds_left: Callable[[], float]


class Loop:
    """One rank's lap while it runs."""

    def __init__(self, invocation: Invocation, environment: WorkerEnvironment, table: RunTable) -> None:
        self._invocation = invocation
        self._environment = environment
        self._table = table
        self._artifacts = Artifacts(environment.artifacts_bucket)
        self._keys = Keys(invocation.run_id)
        self._rank = invocation.rank
        self._last_report = 0.0

    def run(self, began: float) -> Outcome:
        """Load, train, save."""
        invocation = self._invocation
        start = self._start()
        self._meter = Meter(Pace(start.pace))
        with self._meter.phase("load"):
            self._load(start.checkpoint)
        with self._open_exchange() as channel, Watch(self._table, invocation.lap, invocation.attempt) as self._watch:
            votes = self._train()
        seconds = {**self._meter.seconds, "billed": time.monotonic() - began}
        return Outcome(
            lap=invocation.lap,
            attempt=invocation.attempt,
            rank=self._rank,
            status="finished" if self._is_finished() else "stopped",
            step=self._progress.step,
            votes=votes,
            seconds=seconds,
            pace=self._meter.pace.known(),
            samples_per_second=self._meter.samples_per_second,
            usage=channel.usage.snapshot() if channel else {},
        )

    def _start(self) -> Start:
        record = self._table.get(Items.start(self._invocation.lap, self._invocation.attempt))
        if record is None:
            raise PaytrainError(
                f"There is no start record for lap {self._invocation.lap} of {self._invocation.run_id}."
            )
        return Start.model_validate(record)

    def _load(self, checkpoint: Checkpoint) -> None:
        self._plan = plan = Plan.model_validate_json(self._artifacts.get(self._keys.plan))
        sandbox.keep_only([plan.prepared.train, plan.prepared.validation])
        self._rows = sandbox.data_of(plan.prepared.train)
        self._validation = sandbox.data_of(plan.prepared.validation) if plan.prepared.validation else None
        self._trainer = sandbox.trainer_of(plan.job, plan.prepared.model, self._rows)
        self._batches = Batches(len(self._rows), plan.job.batch_size, plan.workers, plan.job.seed, plan.job.shuffle)
        evaluation_sizes = {part.stop - part.start for part in self._validation_slices()}
        self._trainer.warm_up(self._rows.x, self._rows.y, self._batches.sizes(self._rank), evaluation_sizes)
        self._progress = state.load(self._trainer, self._artifacts, self._keys, checkpoint, self._rank)

    @contextmanager
    def _open_exchange(self) -> Iterator[Channel | None]:
        plan = self._plan
        if plan.workers == 1:
            self._all_reduce = AllReduce(None, pattern=plan.pattern, segments=1, prefix="", rank=0, world_size=1)
            yield None
            return
        channel = open_channel(
            plan, exchange_bucket=self._environment.exchange_bucket, exchange_table=self._environment.exchange_table
        )
        with closing(Driver(channel)) as driver:
            self._all_reduce = AllReduce(
                driver,
                pattern=plan.pattern,
                segments=plan.segments,
                prefix=f"{plan.run_id}/{self._invocation.lap}/{self._invocation.attempt}",
                rank=self._rank,
                world_size=plan.workers,
            )
            yield channel

    def _train(self) -> Vote:
        """Rounds until a vote to stop or the end of the run; then save."""
        if not may_start(self._invocation.seconds_left(), self._meter.pace, self._round(self._progress.step)):
            raise LapTooShort(
                f"{self._invocation.seconds_left():.1f} s are left of worker_timeout_seconds after loading: too few "
                "for one step and saving. Raise worker_timeout_seconds or memory_mb, or lower batch_size."
            )
        first_step = self._progress.step
        votes = Vote.GO_ON
        while not votes and not self._is_finished():
            self._watch.leave_if_aborted()
            votes = self._one_round(is_first=self._progress.step == first_step)
            if time.monotonic() - self._last_report >= _REPORT_SECONDS:
                self._report()
        self._report()
        self._save()
        return votes

    def _one_round(self, *, is_first: bool) -> Vote:
        step = self._progress.step
        with self._meter.phase("step", is_first=is_first):
            rows = self._batches.rows(step, self._rank)
            global_samples = len(self._batches.global_rows(step))
            seeds = generator_seeds(self._plan.job.seed, self._rank, step, len(self._trainer.seed_states))
            mine = self._trainer.gradient(self._rows.x[rows], self._rows.y[rows], seeds, global_samples)
        with self._meter.phase("exchange", is_first=is_first):
            # Rank 0 may have been saving while the others went on.
            peer_seconds = self._plan.peer_timeout_seconds + self._meter.pace.worst("save")
            patience = self._patience(self._plan.gang_timeout_seconds if is_first else peer_seconds)
            summed = self._all_reduce.sum(mine.gradient, Tally(len(rows), self._vote(step), mine.sums), patience)
        with self._meter.phase("apply", is_first=is_first):
            samples = summed.tally.samples
            self._trainer.apply(summed.values, samples)
            loss = self._trainer.loss_of(float(summed.tally.metrics[0]), samples)
            self._progress.add(loss, samples, summed.tally.metrics[1:])
        self._meter.count(samples, is_first=is_first)
        if self._batches.ends_epoch(step):
            with self._meter.phase("epoch_end"):
                self._end_epoch()
        votes = Vote(summed.tally.votes)
        if self._round(step).saves and not votes and not self._is_finished():
            self._save()
        return votes

    def _vote(self, step: int) -> Vote:
        votes = Vote.GO_ON
        if must_stop(self._invocation.seconds_left(), self._meter.pace, self._round(step), self._round(step + 1)):
            votes |= Vote.TIME
        if self._watch.stop_asked:
            votes |= Vote.ASKED
        return votes

    def _round(self, step: int) -> Round:
        return Round(self._batches.ends_epoch(step), (step + 1) % self._plan.checkpoint_every == 0)

    def _end_epoch(self) -> None:
        """Close the epoch; all ranks evaluate a part of the validation data, with the mean of their statistics."""
        entry = self._progress.results(self._trainer)
        if self._validation is not None:
            mine = self._trainer.own_state()
            nothing = Tally(0, 0, np.zeros(0))
            if mine.size:
                summed = self._all_reduce.sum(mine, nothing, self._patience(self._plan.peer_timeout_seconds))
                self._trainer.set_own_state(summed.values / self._plan.workers)
            sums = np.zeros(self._trainer.metric_elements)
            for part in self._validation_slices():
                sums += self._trainer.evaluate(self._validation.x[part], self._validation.y[part])
            self._trainer.set_own_state(mine)
            tally = Tally(0, 0, sums)
            total = self._all_reduce.sum(
                np.zeros(0), tally, self._patience(self._plan.peer_timeout_seconds)
            ).tally.metrics
            values = {"loss": float(total[0]) / len(self._validation), **self._trainer.results(total[1:])}
            entry |= {f"val_{name}": value for name, value in values.items()}
        self._progress.end_epoch(entry)

    def _validation_slices(self) -> list[slice]:
        """This rank's part of the validation data, in batches."""
        if self._validation is None:
            return []
        part = even_slices(len(self._validation), self._plan.workers)[self._rank]
        size = self._plan.job.batch_size
        return [slice(start, min(start + size, part.stop)) for start in range(part.start, part.stop, size)]

    def _is_finished(self) -> bool:
        step = self._progress.step
        if step >= self._plan.total_steps:
            return True
        return (
            step > 0
            and step % self._batches.steps_per_epoch == 0
            and should_stop(self._progress.history, self._plan.job.early_stopping)
        )

    def _save(self) -> None:
        with self._meter.phase("save"):
            here = Checkpoint(step=self._progress.step, lap=self._invocation.lap, attempt=self._invocation.attempt)
            state.save(self._trainer, self._progress, self._artifacts, self._keys, here, self._rank)

    def _patience(self, peer_seconds: float) -> Patience:
        leave_by = time.monotonic() + self._invocation.seconds_left() - LEAVE_SECONDS
        return Patience(peer_seconds, leave_by, self._watch.leave_if_aborted)

    def _report(self) -> None:
        """Rank 0 says how far the run is."""
        self._last_report = time.monotonic()
        if self._rank != 0:
            return
        plan, progress = self._plan, self._progress
        results = progress.results(self._trainer) if progress.samples else dict(progress.history[-1])
        speed = self._meter.samples_per_second
        samples_left = (plan.total_steps - progress.step) * self._batches.global_batch_size
        self._watch.report(
            {
                "lap": self._invocation.lap,
                "attempt": self._invocation.attempt,
                "step": progress.step,
                "total_steps": plan.total_steps,
                "epoch": len(progress.history),
                "epochs": plan.job.epochs,
                "loss": results.pop("loss"),
                "metrics": results,
                "samples_per_second": speed or None,
                "seconds_left": samples_left / speed if speed else None,
                "workers": plan.workers,
                "channel": plan.channel,
                "pattern": plan.pattern,
            }
        )
