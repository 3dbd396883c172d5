"""No invocation commits to a round that it cannot finish and save: laps on a simulated clock."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paytrain.training.rounds import Round
from paytrain.training.stop_rule import MARGIN_SECONDS, Pace, may_start, must_stop

PLAIN, EPOCH_END, SAVING = Round(), Round(ends_epoch=True), Round(saves=True)
SECONDS = {"step": 1.0, "exchange": 2.0, "apply": 0.5, "epoch_end": 8.0, "save": 4.0}
A_MOMENT = 1e-6
"""Far above the rounding of sums of seconds, far below what a lap could suffer from."""

Durations = Callable[[str, Pace], float]


@dataclass
class Lap:
    """A lap that runs on a clock of its own, in the order of the real one."""

    limit: float
    pace: Pace
    kind: Callable[[int], Round]
    durations: Durations
    now: float = 0.0
    rounds: int = 0
    surprise: float = 0.0
    """Seconds that things took longer than was taken for their worst at the last decision to go on."""

    def run(self) -> "Lap":
        if not may_start(self.limit - self.now, self.pace, self.kind(0)):
            return self
        self._commit()
        stopping = False
        while not stopping:
            this = self.kind(self.rounds)
            self._pass("step", observe=self.rounds > 0)
            stopping = must_stop(self.limit - self.now, self.pace, this, self.kind(self.rounds + 1))
            if not stopping:
                self._commit()
            self._pass("exchange", observe=self.rounds > 0)
            self._pass("apply", observe=self.rounds > 0)
            if this.ends_epoch:
                self._pass("epoch_end")
            if this.saves and not stopping:
                self._pass("save")
            self.rounds += 1
        self._pass("save")
        return self

    def _commit(self) -> None:
        self.surprise = 0.0
        self._worst = {phase: self.pace.worst(phase) for phase in SECONDS}

    def _pass(self, phase: str, *, observe: bool = True) -> None:
        seconds = self.durations(phase, self.pace)
        self.now += seconds
        self.surprise += max(0.0, seconds - self._worst[phase])
        if observe:
            self.pace.observe(phase, seconds)


def every(epoch: int, save: int, shift: int) -> Callable[[int], Round]:
    """Kinds of rounds of a lap that begins ``shift`` steps into its epoch."""
    return lambda index: Round((index + shift + 1) % epoch == 0, (index + shift + 1) % save == 0)


def rounds_that_fit(limit: float, worst: dict[str, float], kind: Callable[[int], Round]) -> int:
    """Rounds that end and leave time to save, were everything at its worst."""
    left, rounds = limit - worst["save"] - MARGIN_SECONDS, 0
    while True:
        this = kind(rounds)
        left -= worst["step"] + worst["exchange"] + worst["apply"]
        left -= worst["epoch_end"] * this.ends_epoch + worst["save"] * this.saves
        if left < 0:
            return rounds
        rounds += 1


WORST = st.fixed_dictionaries({phase: st.floats(0.01, 5.0) for phase in SECONDS})
KINDS = st.builds(every, st.integers(1, 20), st.integers(1, 20), st.integers(0, 19))
LIMITS = st.floats(0.0, 200.0)


@settings(deadline=None, max_examples=200)
@given(limit=LIMITS, worst=WORST, kind=KINDS, seed=st.integers(0, 2**32))
def test_a_lap_whose_pace_is_known_ends_in_time_but_not_early(
    limit: float, worst: dict[str, float], kind: Callable[[int], Round], seed: int
) -> None:
    # Given that nothing takes longer than what is expected, or was seen once
    random_ = random.Random(seed)

    def durations(phase: str, pace: Pace) -> float:
        return worst[phase] if phase not in pace.seen else worst[phase] * random_.uniform(0.3, 1.0)

    # When the lap runs
    lap = Lap(limit, Pace(worst), kind, durations).run()
    # Then it ends, saved, with the margin untouched
    assert lap.surprise == 0.0
    assert lap.now <= max(0.0, limit - MARGIN_SECONDS) + A_MOMENT
    # And it has used its time but for two rounds
    fitting = rounds_that_fit(limit - A_MOMENT, worst, kind)
    assert lap.rounds >= fitting - 2
    assert (lap.rounds > 0) or fitting == 0


@settings(deadline=None, max_examples=200)
@given(limit=LIMITS, worst=WORST, kind=KINDS, seed=st.integers(0, 2**32))
def test_only_a_surprise_after_the_last_decision_can_touch_the_margin(
    limit: float, worst: dict[str, float], kind: Callable[[int], Round], seed: int
) -> None:
    # Given steps, exchanges, saves and epochs' ends that are sometimes far slower than ever before
    random_ = random.Random(seed)

    def durations(phase: str, pace: Pace) -> float:
        slow = random_.random() < 0.05
        return worst[phase] * random_.uniform(0.2, 1.0) * (random_.uniform(1.0, 10.0) if slow else 1.0)

    # When the lap runs
    lap = Lap(limit, Pace(worst), kind, durations).run()
    # Then it is late by no more than these surprises
    assert lap.now <= max(0.0, limit - MARGIN_SECONDS + lap.surprise) + A_MOMENT


@pytest.mark.parametrize(
    ("this", "following", "needed"),
    [
        # The rest of this round (2.5), a whole one (3.5), the save (4) and the margin (1).
        (PLAIN, PLAIN, 11.0),
        (EPOCH_END, PLAIN, 19.0),
        (PLAIN, EPOCH_END, 19.0),
        (SAVING, PLAIN, 15.0),
        (PLAIN, SAVING, 15.0),
        (Round(True, True), Round(True, True), 35.0),
        # The steps of the next round count, those of this one are done.
        (Round(steps=5), Round(steps=3), 13.0),
    ],
)
def test_a_vote_to_go_on_needs_two_rounds_and_a_save(this: Round, following: Round, needed: float) -> None:
    assert not must_stop(needed, Pace(SECONDS), this, following)
    assert must_stop(needed - 0.01, Pace(SECONDS), this, following)


@pytest.mark.parametrize(("first", "needed"), [(PLAIN, 8.5), (EPOCH_END, 16.5), (SAVING, 12.5), (Round(steps=4), 11.5)])
def test_a_lap_starts_if_one_round_fits(first: Round, needed: float) -> None:
    assert may_start(needed, Pace(SECONDS), first)
    assert not may_start(needed - 0.01, Pace(SECONDS), first)


@pytest.mark.parametrize(
    ("phase", "seconds", "needed"),
    [("step", 5.0, 15.0), ("exchange", 5.0, 17.0), ("apply", 2.5, 15.0), ("save", 9.0, 16.0)],
)
def test_one_slow_phase_makes_the_lap_more_careful(phase: str, seconds: float, needed: float) -> None:
    # Given a lap in which something was slow once, and quick ever since
    pace = Pace(SECONDS)
    for duration in (SECONDS[phase], seconds, 0.1):
        pace.observe(phase, duration)
    # When it votes, then it reckons with the slow one
    assert not must_stop(needed, pace, PLAIN, PLAIN)
    assert must_stop(needed - 0.01, pace, PLAIN, PLAIN)


def test_a_pace_is_handed_on() -> None:
    # Given what was known before, and what a lap has seen
    pace = Pace({"step": 1.0, "save": 4.0})
    pace.observe("step", 0.5)
    pace.observe("step", 0.25)
    # Then this lap's maximum counts, and what it has not seen stays as it was
    assert (pace.worst("step"), pace.worst("save"), pace.worst("epoch_end")) == (0.5, 4.0, 0.0)
    assert pace.known() == {"step": 0.5, "save": 4.0}


def test_a_first_round_lowers_what_the_next_lap_expects_and_never_raises_it() -> None:
    # Given guesses, one too high and one too low, and a lap of a single round, which waited for its gang
    pace = Pace({"step": 1.0, "exchange": 20.0, "save": 4.0})
    pace.observe_uncounted("step", 3.0)
    pace.observe_uncounted("exchange", 2.0)
    # When the next lap asks what to expect
    assert pace.known() == {"step": 1.0, "exchange": 2.0, "save": 4.0}
    # Then this lap itself has gone by what it was told
    assert pace.worst("exchange") == 20.0
    # And as soon as a later round has been measured, the first no longer counts
    pace.observe("exchange", 2.5)
    assert pace.known()["exchange"] == 2.5


def test_a_relay_of_laps_of_one_round_learns_that_it_has_time_for_more() -> None:
    # Given laps with time for one round at the pessimistic guess, and an exchange that takes a tenth of it
    expected, rounds = {"step": 1.0, "exchange": 20.0, "apply": 0.0, "save": 1.0}, []
    for _ in range(2):
        pace, left, done = Pace(expected), 30.0, 0
        # When each goes on for as long as the stop rule lets it
        stop = False
        while not stop:
            left -= 1.0
            stop = must_stop(left, pace, Round(), Round())
            left -= 2.0
            observe = pace.observe if done else pace.observe_uncounted
            observe("step", 1.0)
            observe("exchange", 2.0)
            done += 1
        expected, rounds = pace.known(), [*rounds, done]
    # Then the second lap uses its time
    assert rounds == [1, 9]
