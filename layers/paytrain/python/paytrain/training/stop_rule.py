"""When a lap must end, so that no invocation commits to a round that it cannot finish and save.

A vote is fixed before a round's first put. To vote for going on commits to the rest of this round *and* the whole
next one, since only the next round's votes can end the lap after that.
"""

from dataclasses import dataclass, field

from paytrain.training.rounds import Round

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
        Seconds of a batch's gradient (of local steps, with the optimizer's); of a round's exchange; of what follows
        from it; of what an epoch's last round does in addition; of writing a checkpoint.
    """

    expected: dict[str, float]
    seen: dict[str, float] = field(default_factory=dict)
    uncounted: dict[str, float] = field(default_factory=dict)

    def observe(self, phase: str, seconds: float) -> None:
        """Note a duration."""
        self.seen[phase] = max(self.seen.get(phase, 0.0), seconds)

    def observe_uncounted(self, phase: str, seconds: float) -> None:
        """Note a duration of a lap's first round, which includes the wait for the gang: no more than a bound."""
        self.uncounted[phase] = max(self.uncounted.get(phase, 0.0), seconds)

    def worst(self, phase: str) -> float:
        """The longest that a phase is taken to last."""
        expected = self.expected.get(phase, 0.0)
        seen = self.seen.get(phase, expected)
        return max(seen, expected) if phase in _RARE else seen

    def known(self) -> dict[str, float]:
        """What the next lap shall expect.

        A lap of a single round has measured nothing but its first; that may lower what was expected, so that a relay
        of such laps does not go on for ever with a pessimistic guess.
        """
        bounded = {phase: min(seconds, self.expected.get(phase, seconds)) for phase, seconds in self.uncounted.items()}
        return {**self.expected, **bounded, **self.seen}


def seconds_of_rest(pace: Pace, this: Round) -> float:
    """From the vote to the end of the round."""
    extra = pace.worst("epoch_end") * this.ends_epoch + pace.worst("save") * this.saves
    return pace.worst("exchange") + pace.worst("apply") + extra


def seconds_of_round(pace: Pace, this: Round) -> float:
    """A whole round."""
    return this.steps * pace.worst("step") + seconds_of_rest(pace, this)


def seconds_committed(pace: Pace, this: Round, following: Round) -> float:
    """From a vote to go on until the lap can be over, saved.

    Parameters
    ----------
    this, following
        The round that the vote belongs to, and the one that it commits to.
    """
    rounds = seconds_of_rest(pace, this) + seconds_of_round(pace, following)
    return rounds + pace.worst("save") + MARGIN_SECONDS


def must_stop(seconds_left: float, pace: Pace, this: Round, following: Round) -> bool:
    """Whether to vote for a stop after this round.

    Parameters
    ----------
    seconds_left
        Until the invocation is killed, at the moment of the vote.
    """
    return seconds_left < seconds_committed(pace, this, following)


def may_start(seconds_left: float, pace: Pace, first: Round) -> bool:
    """Whether a lap has time for a single round."""
    return seconds_left >= seconds_of_round(pace, first) + pace.worst("save") + MARGIN_SECONDS
