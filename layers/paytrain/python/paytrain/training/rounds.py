"""Where the rounds of a run begin and end: a pure function of the step, however the run is cut into laps."""

from dataclasses import dataclass

from paytrain.plan import Plan


@dataclass(frozen=True)
class Round:
    """What a round has besides its exchange.

    Attributes
    ----------
    ends_epoch, saves
        Whether an epoch ends with it; whether a checkpoint within the lap follows it.
    steps
        That it has.
    """

    ends_epoch: bool = False
    saves: bool = False
    steps: int = 1


def round_at(plan: Plan, step: int) -> Round:
    """The round that begins after ``step`` steps; none goes on beyond its epoch, so an epoch's last may be shorter."""
    steps = min(plan.sync_every, plan.steps_per_epoch - step % plan.steps_per_epoch)
    end = step + steps
    saves = end // plan.checkpoint_every > step // plan.checkpoint_every
    return Round(end % plan.steps_per_epoch == 0, saves, steps)
