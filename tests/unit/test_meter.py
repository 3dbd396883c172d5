"""Where a worker's seconds go."""

import pytest

from paytrain.errors import PeerLost
from paytrain.run import PHASES
from paytrain.training import meter as module
from paytrain.training.meter import Meter


class Clock:
    """A clock that tests set."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_phases_together_are_what_is_billed(clock: Clock) -> None:
    # given: a start of 2 s, then 1 s of a step, an exchange of 4 s, and an epoch's end of 3 s with an exchange of 1 s
    meter = Meter()
    meter.seconds["start"] = 2.0
    with meter.phase("step"):
        clock.now += 1
    with meter.phase("exchange"):
        clock.now += 4
    with meter.phase("epoch_end"):
        clock.now += 1
        with meter.phase("exchange", counts=False):
            clock.now += 1
        clock.now += 1

    # when: 11 s are billed, and the driver has encoded and reduced for a part of the exchanges' 5 s
    phases = meter.phases(11.0, {"encode": 0.5, "reduce": 1.0})

    # then
    used = {"start": 2.0, "compute": 1.0, "encode": 0.5, "wait": 3.5, "reduce": 1.0, "evaluate": 2.0, "other": 1.0}
    assert phases == {**dict.fromkeys(PHASES, 0.0), **used}
    assert sum(phases.values()) == 11.0


def test_the_stop_rule_sees_an_epochs_end_whole_and_not_the_exchange_within(clock: Clock) -> None:
    meter = Meter()
    with meter.phase("epoch_end"):
        clock.now += 1
        with meter.phase("exchange", counts=False):
            clock.now += 4
    assert meter.pace.seen == {"epoch_end": 5.0}


def test_seconds_of_a_phase_that_others_have_ended_are_billed_and_expected_of_nobody(clock: Clock) -> None:
    meter = Meter()

    def lose_a_peer() -> None:
        with meter.phase("exchange"):
            clock.now += 30
            raise PeerLost("a peer is lost")

    with pytest.raises(PeerLost):
        lose_a_peer()
    assert meter.phases(30.0, {})["wait"] == 30.0
    assert meter.pace.seen == {}


def test_a_laps_first_round_is_billed_and_expected_of_nobody(clock: Clock) -> None:
    meter = Meter()
    with meter.phase("step", counts=False):
        clock.now += 9
    meter.count(64, is_first=True)
    with meter.phase("step"):
        clock.now += 2
    meter.count(64, is_first=False)
    assert meter.phases(11.0, {})["compute"] == 11.0
    assert meter.pace.seen == {"step": 2.0}
    assert meter.samples_per_second == 32.0
