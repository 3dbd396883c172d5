import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from local.display import LivePanel, PlainLines, clock
from local.execution import Entered, Snapshot

STARTED = datetime(2026, 1, 1, tzinfo=UTC)
PROGRESS = {
    "lap": 1,
    "attempt": 0,
    "step": 235,
    "total_steps": 705,
    "epoch": 1,
    "epochs": 3,
    "loss": 0.12345,
    "metrics": {"accuracy": 0.9652},
    "samples_per_second": 12345.6,
    "seconds_left": 83.0,
    "usd": 0.00214,
    "workers": 4,
    "channel": "memcached",
    "pattern": "scatter_reduce",
}


def after(seconds):
    return STARTED + timedelta(seconds=seconds)


def snapshot(*states, progress=None, status="RUNNING"):
    entered = tuple(Entered(name, after(seconds)) for name, seconds in states)
    return Snapshot(status, STARTED, None, entered, progress or {})


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-1, "0 s"), (0.4, "0 s"), (59.6, "1 min 00 s"), (83, "1 min 23 s"), (3600, "1 h 00 min"), (7510, "2 h 05 min")],
)
def test_durations_are_short(seconds, shown):
    assert clock(seconds) == shown


def lines_of(*shown):
    output = io.StringIO()
    with PlainLines(Console(file=output, width=200)) as display:
        for at, what in shown:
            display.show(what, after(at))
    return output.getvalue().splitlines()


def test_a_log_has_a_line_for_every_state_and_counts_from_one():
    states = [("Resolve", 0), ("Lap", 10), ("CloseLap", 20)]
    later = {**PROGRESS, "step": 705}

    lines = lines_of(
        (1, snapshot(*states[:1])),
        (2, snapshot(*states[:1])),
        (11, snapshot(*states[:2])),
        (18, snapshot(*states[:2], progress=PROGRESS)),
        (20, snapshot(*states, progress=later)),
    )

    figures = "loss 0.1235 · accuracy 96.52 % · 12,346 samples/s · 1 min 23 s left · $0.0021 so far"
    assert [line.strip() for line in lines] == [
        "0 s  Resolve",
        "10 s  Lap",
        f"lap 2 · epoch 2/3 · step 235/705 · {figures}",
        f"lap 2 · epoch 2/3 · step 705/705 · {figures}",
        "20 s  CloseLap",
    ]


def test_a_log_says_nothing_while_nothing_happens():
    later = {**PROGRESS, "step": 300}

    lines = lines_of(
        (10, snapshot(progress=PROGRESS)),
        (12, snapshot(progress=later)),
        (60, snapshot(progress=PROGRESS)),
        (70, snapshot(progress=later)),
    )

    assert [line.split(" · ")[2] for line in lines] == ["step 235/705", "step 300/705"]


def test_a_second_attempt_is_called_so():
    assert "lap 2 (attempt 2) · " in lines_of((1, snapshot(progress={**PROGRESS, "attempt": 1})))[0]


def test_the_panel_folds_the_laps_of_a_relay_and_adds_their_times():
    output = io.StringIO()
    console = Console(file=output, width=120, force_terminal=True, color_system=None)
    states = [("Resolve", 0), ("Lap", 2), ("CloseLap", 12), ("Lap", 13)]

    with LivePanel(console, "20260101-000000-mnist") as display:
        display.show(snapshot(*states, progress=PROGRESS), after(23))

    shown = output.getvalue()
    assert "Resolve 2 s → Lap ×2 20 s → CloseLap 1 s" in shown
    assert "20260101-000000-mnist · 4 workers · memcached · scatter_reduce" in shown
    assert "loss 0.1235 · accuracy 96.52 %" in shown
