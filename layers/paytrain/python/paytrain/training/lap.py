"""A lap: one rank's part of a run, from a checkpoint until the ranks' common vote to stop or the run's last step."""

import time
import uuid

from paytrain.errors import AttemptAborted, JobError, ObjectLost, PeerLost, TrainingDiverged
from paytrain.memory import peak_mb
from paytrain.metering import Spending
from paytrain.run import Items, Outcome
from paytrain.store import RunTable
from paytrain.training.environment import WorkerEnvironment
from paytrain.training.loop import LEAVE_SECONDS, Invocation, Loop


def run_lap(invocation: Invocation, environment: WorkerEnvironment, spending: Spending) -> Outcome:
    """Take part in a lap as one rank, once: a second invocation for the same rank only waits for the first.

    Returns
    -------
    Outcome
        Also written to the run table. A rank that leaves because of others returns, and so does one that cannot go on
        for a reason that no attempt would mend; its other errors are raised, and recorded by the state machine.
    """
    lap, attempt, rank = invocation.lap, invocation.attempt, invocation.rank
    table = RunTable(environment.run_table, invocation.run_id)
    if not table.put_once(Items.claim(lap, attempt, rank), {"by": uuid.uuid4().hex}):
        return _outcome_of_winner(invocation, table)
    loop = Loop(invocation, environment, table, spending)
    try:
        outcome = loop.run()
    except (AttemptAborted, PeerLost, ObjectLost, JobError, TrainingDiverged) as error:
        table.put_once(Items.abort(lap, attempt), {"rank": rank, "cause": str(error)})
        outcome = Outcome(
            lap=lap,
            attempt=attempt,
            rank=rank,
            status="failed" if isinstance(error, (JobError, TrainingDiverged)) else "left",
            step=0,
            error=type(error).__name__,
            cause=str(error),
            seconds=loop.phases(),
            peak_memory_mb=peak_mb(),
        )
    table.put_once(Items.outcome(lap, attempt, rank), outcome)
    return outcome


def _outcome_of_winner(invocation: Invocation, table: RunTable) -> Outcome:
    """Wait for the outcome of the invocation that has claimed this rank; touch nothing else."""
    item = Items.outcome(invocation.lap, invocation.attempt, invocation.rank)
    while invocation.seconds_left() > LEAVE_SECONDS:
        outcomes = table.outcomes(invocation.lap, invocation.attempt)
        if invocation.rank in outcomes:
            return outcomes[invocation.rank]
        time.sleep(1.0)
    raise AttemptAborted(f"{item} was claimed by another invocation, which has not ended in time.")
