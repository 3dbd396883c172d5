"""One rank's training loop within a lap: load a checkpoint, do rounds until a vote to stop, save."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paytrain import bill
from paytrain.channels.open import open_channel
from paytrain.errors import LapTooShort, PaytrainError
from paytrain.exchange.all_reduce import AllReduce, Summed
from paytrain.exchange.driver import Driver, Patience
from paytrain.exchange.frame import Tally
from paytrain.exchange.tuning import Tuning
from paytrain.exchange.votes import Vote
from paytrain.exchange.wires import WIRES
from paytrain.exchange.wires.residuals import residuals_of
from paytrain.limits import limits_reached
from paytrain.memory import give_back_freed, peak_mb
from paytrain.metering import Spending
from paytrain.plan import Plan
from paytrain.run import Checkpoint, Items, Keys, Outcome, Start
from paytrain.store import Artifacts, RunTable
from paytrain.training import divergence, sandbox, state
from paytrain.training.batches import Batches
from paytrain.training.data import Rows
from paytrain.training.early_stopping import should_stop
from paytrain.training.environment import WorkerEnvironment
from paytrain.training.feed import Feed
from paytrain.training.local_steps import LocalReplica
from paytrain.training.meter import Meter
from paytrain.training.replica import Replica, SynchronousReplica
from paytrain.training.rounds import Round, round_at
from paytrain.training.stop_rule import may_start, must_stop, seconds_committed
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

    def __init__(
        self, invocation: Invocation, environment: WorkerEnvironment, table: RunTable, spending: Spending
    ) -> None:
        self._invocation = invocation
        self._spending = spending
        self._meter = Meter()
        self._meter.seconds["start"] = spending.billed_seconds()
        self._exchange_seconds: dict[str, float] = {}
        self._environment = environment
        self._table = table
        self._artifacts = Artifacts(environment.artifacts_bucket)
        self._keys = Keys(invocation.run_id)
        self._rank = invocation.rank
        self._last_report = 0.0
        self._rounds = 0

    def run(self) -> Outcome:
        """Load, train, save."""
        invocation = self._invocation
        with self._meter.phase("load"):
            self._from = self._start()
            self._meter.pace.expected = self._from.pace
            self._load(self._from.checkpoint)
        with self._open_exchange(), Watch(self._table, invocation.lap, invocation.attempt) as self._watch:
            votes = self._train()
        return Outcome(
            lap=invocation.lap,
            attempt=invocation.attempt,
            rank=self._rank,
            status="finished" if self._is_finished() else "stopped",
            step=self._progress.step,
            votes=votes,
            seconds=self.phases(),
            pace=self._meter.pace.known(),
            samples_per_second=self._meter.samples_per_second,
            peak_memory_mb=peak_mb(),
        )

    def phases(self) -> dict[str, float]:
        """Where the seconds have gone so far."""
        return self._meter.phases(self._spending.billed_seconds(), self._exchange_seconds)

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
        self._trainer = sandbox.trainer_of(plan, self._rows)
        self._batches = Batches(len(self._rows), plan.job.batch_size, plan.workers, plan.job.seed, plan.job.shuffle)
        evaluation_sizes: set[int] = set()
        if self._validation is not None:
            # As Keras' fit does, which evaluates in batches of the size that it trains with.
            batches = Batches(len(self._validation), plan.job.batch_size, plan.workers, plan.job.seed, shuffle=False)
            self._validation_steps = batches.steps_per_epoch
            self._validation_feed = self._feed_of(self._validation, batches)
            evaluation_sizes = batches.sizes(self._rank)
        self._trainer.warm_up(self._rows, self._batches.sizes(self._rank), evaluation_sizes)
        self._replica = self._replica_of(self._feed_of(self._rows, self._batches))
        self._residuals = residuals_of(plan.wire)
        self._progress = state.load(self._trainer, self._artifacts, self._keys, checkpoint, self._rank, self._residuals)
        # Model and checkpoint came in pieces, which the rounds have no use for.
        give_back_freed()

    def _feed_of(self, rows: Rows, batches: Batches) -> Feed:
        return Feed(rows, batches, self._rank, self._trainer.divisors(rows), self._trainer.losses.is_sum)

    def _replica_of(self, feed: Feed) -> Replica:
        plan, seed = self._plan, self._plan.job.seed
        if plan.sync_every == 1:
            return SynchronousReplica(self._trainer, feed, seed, self._rank)
        return LocalReplica(self._trainer, feed, seed, self._rank, plan.workers, WIRES[plan.wire].dtype)

    @contextmanager
    def _open_exchange(self) -> Iterator[None]:
        plan = self._plan
        if plan.workers == 1:
            self._all_reduce = self._all_reduce_over(None)
            yield
            return
        channel = open_channel(
            plan, exchange_bucket=self._environment.exchange_bucket, exchange_table=self._environment.exchange_table
        )
        self._spending.exchange = channel.usage
        tuning = Tuning(plan.segments, plan.window)
        with closing(Driver(channel, puts_at_once=tuning.puts_at_once, gets_at_once=tuning.gets_at_once)) as driver:
            self._exchange_seconds = driver.seconds
            self._all_reduce = self._all_reduce_over(driver)
            yield

    def _all_reduce_over(self, driver: Driver | None) -> AllReduce:
        plan = self._plan
        return AllReduce(
            driver,
            pattern=plan.pattern,
            segments=plan.segments,
            window=plan.window,
            prefix=f"{plan.run_id}/{self._invocation.lap}/{self._invocation.attempt}",
            rank=self._rank,
            world_size=plan.workers,
            wire=plan.wire,
            residuals=self._residuals,
        )

    def _train(self) -> Vote:
        """Rounds until a vote to stop or the end of the run; then save."""
        if not may_start(self._invocation.seconds_left(), self._meter.pace, self._round(self._progress.step)):
            raise LapTooShort(
                f"{self._invocation.seconds_left():.1f} s are left of worker_timeout_seconds after loading: too few "
                "for one round and saving. Raise worker_timeout_seconds or memory_mb, or lower batch_size or "
                "sync_every."
            )
        first_step = self._progress.step
        votes = Vote.GO_ON
        while not votes and not self._is_finished():
            votes = self._one_round(is_first=self._progress.step == first_step)
            if time.monotonic() - self._last_report >= _REPORT_SECONDS:
                self._report()
        self._report()
        self._save()
        return votes

    def _one_round(self, *, is_first: bool) -> Vote:
        begin, replica = self._progress.step, self._replica
        this = self._round(begin)
        for step in range(begin, begin + this.steps):
            self._watch.leave_if_aborted()
            with self._meter.phase("step", counts=not is_first):
                replica.step(step)
        with self._meter.phase("exchange", counts=not is_first):
            mine = replica.share()
            patience = self._patience(self._peer_seconds(this, is_first=is_first))
            summed = self._all_reduce.sum_gradient(
                mine.values, Tally(mine.samples, self._vote(this), mine.sums), patience
            )
        with self._meter.phase("apply", counts=not is_first):
            tally, samples = summed.tally, summed.tally.samples
            # Of the size of the model each: none is kept for longer than it is needed.
            del mine
            update = replica.received(summed.values)
            del summed
            replica.apply(update)
            del update
            sums = replica.sums(tally)
            # All ranks have the same sum, so they all leave here.
            divergence.refuse_loss(float(sums[0]) / samples, self._progress, self._trainer.model, this.steps)
            self._progress.add(sums, samples, this.steps)
        self._rounds += 1
        self._meter.count(samples, is_first=is_first)
        if this.ends_epoch:
            with self._meter.phase("epoch_end"):
                self._end_epoch()
        votes = Vote(tally.votes)
        if this.saves and not votes and not self._is_finished():
            self._save()
        return votes

    def _peer_seconds(self, this: Round, *, is_first: bool) -> float:
        """How long peers may be late: one may have been saving, and its steps may take twice as long as mine."""
        pace, plan = self._meter.pace, self._plan
        usual = plan.gang_timeout_seconds if is_first else plan.peer_timeout_seconds + pace.worst("save")
        return usual + (this.steps - 1) * pace.worst("step")

    def _vote(self, this: Round) -> Vote:
        votes = Vote.GO_ON
        following = self._round(self._progress.step + this.steps)
        if must_stop(self._invocation.seconds_left(), self._meter.pace, this, following):
            votes |= Vote.TIME
        if self._watch.stop_asked:
            votes |= Vote.ASKED
        return votes | self._limits_reached(seconds_committed(self._meter.pace, this, following))

    def _limits_reached(self, seconds: float) -> Vote:
        """Whether budget and deadline forbid the rest of this round and another one, as far as this rank can tell."""
        job, reserve = self._plan.job, self._plan.reserve
        if job.budget_usd is None and job.deadline_minutes is None:
            return Vote.GO_ON
        spent = bill.usd_of_requests(self._spending.exchange.snapshot()) * self._plan.workers
        return limits_reached(
            self._plan,
            usd=self._usd(),
            now=time.time(),
            seconds=seconds,
            rounds=2,
            round_usd=spent / self._rounds if self._rounds else reserve.round_usd,
        )

    def _usd(self) -> float:
        """What the run has cost so far, without the cache."""
        return self._from.usd + bill.usd_of_gang(self._spending.so_far(), self._plan.workers)

    def _round(self, step: int) -> Round:
        return round_at(self._plan, step)

    def _end_epoch(self) -> None:
        """Close the epoch; all ranks evaluate a part of the validation data, with the mean of their statistics."""
        entry = self._progress.results(self._trainer)
        if self._validation is not None:
            mine = self._trainer.own_state()
            nothing = Tally(0, 0, np.zeros(0))
            if mine.size:
                summed = self._sum(mine, nothing)
                self._trainer.set_own_state(summed.values / self._plan.workers)
            sums = np.zeros(self._trainer.metric_elements)
            for step in range(self._validation_steps):
                sums += self._trainer.evaluate(self._validation_feed.batch(step))
            self._trainer.set_own_state(mine)
            total = self._sum(np.zeros(0), Tally(0, 0, sums)).tally.metrics
            values = self._trainer.results(total, len(self._validation))
            entry |= {f"val_{name}": value for name, value in values.items()}
        self._progress.end_epoch(entry)

    def _sum(self, values: NDArray[Any], tally: Tally) -> Summed:
        """Sum at an epoch's end, which the stop rule expects as a whole."""
        with self._meter.phase("exchange", counts=False):
            return self._all_reduce.sum(values, tally, self._patience(self._plan.peer_timeout_seconds))

    def _is_finished(self) -> bool:
        step = self._progress.step
        if step >= self._plan.total_steps:
            return True
        return (
            step > 0
            and step % self._batches.steps_per_epoch == 0
            and should_stop(
                self._progress.history,
                self._plan.job.early_stopping,
                is_larger_better=self._plan.prepared.is_larger_better,
            )
        )

    def _save(self) -> None:
        with self._meter.phase("save"):
            if self._rank == 0:
                divergence.refuse_weights(self._trainer.trainable, self._progress, self._trainer.model)
            here = Checkpoint(step=self._progress.step, lap=self._invocation.lap, attempt=self._invocation.attempt)
            state.save(self._trainer, self._progress, self._artifacts, self._keys, here, self._rank, self._residuals)

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
                "usd": self._usd(),
                "workers": plan.workers,
                "channel": plan.channel,
                "pattern": plan.pattern,
            }
        )
