"""When a lap must end, so that no invocation commits to a round that it cannot finish and save.

A vote is fixed before a round's first put. To vote for going on commits to the rest of this round *and* the whole
next one, since only the next round's votes can end the lap after that.
"""

from dataclasses import dataclass, field

MARGIN_SECONDS = 1.0
"""For what is not measured: the answer to Lambda, the outcome's record, a pause of the sandbox."""


_RARE = ("save", "epoch_end")


@dataclass
class Pace:
    """How long things take: this lap's maximum, or what is known from before while there is none.

    What happens rarely, saving and an epoch's end, is never taken to be quicker than it was before.

    Attributes
    ----------
    step, exchange, apply, epoch_end, save
        Seconds of a batch's gradient; of a round's exchange; of the optimizer step; of what an epoch's last
        round does in addition; of writing a checkpoint.
    """

    expected: dict[str, float]
    seen: dict[str, float] = field(default_factory=dict)

    def observe(self, phase: str, seconds: float) -> None:
        """Note a duration."""
        self.seen[phase] = max(self.seen.get(phase, 0.0), seconds)

    def worst(self, phase: str) -> float:
        """The longest that a phase is taken to last."""
        expected = self.expected.get(phase, 0.0)
        seen = self.seen.get(phase, expected)
        return max(seen, expected) if phase in _RARE else seen

    def known(self) -> dict[str, float]:
        """What the next lap shall expect."""
        return {**self.expected, **self.seen}


@dataclass(frozen=True)
class Round:
    """What a round does besides a step and its exchange."""

    ends_epoch: bool = False
    saves: bool = False


def seconds_of_rest(pace: Pace, this: Round) -> float:
    """From the vote to the end of the round."""
    extra = pace.worst("epoch_end") * this.ends_epoch + pace.worst("save") * this.saves
    return pace.worst("exchange") + pace.worst("apply") + extra


def seconds_of_round(pace: Pace, this: Round) -> float:
    """A whole round."""
    return pace.worst("step") + seconds_of_rest(pace, this)


def must_stop(seconds_left: float, pace: Pace, this: Round, following: Round) -> bool:
    """Whether to vote for a stop after this round.

    Parameters
    ----------
    seconds_left
        Until the invocation is killed, at the moment of the vote.
    this, following
        The round that the vote belongs to, and the one that a vote to go on would commit to.
    """
    committed = seconds_of_rest(pace, this) + seconds_of_round(pace, following)
    return seconds_left < committed + pace.worst("save") + MARGIN_SECONDS


def may_start(seconds_left: float, pace: Pace, first: Round) -> bool:
    """Whether a lap has time for a single round."""
    return seconds_left >= seconds_of_round(pace, first) + pace.worst("save") + MARGIN_SECONDS
