"""What a person sees while an execution runs: a live panel on a terminal, plain lines elsewhere."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from local.execution import RUNNING, Snapshot

_STATES_SHOWN = 6
_BAR_CELLS = 36
_PANEL_CELLS = 110
# Room for the ^C that a terminal echoes; a wrapped line would spoil the panel.
_MARGIN_CELLS = 3


def clock(seconds: float) -> str:
    """Show a duration: ``8 s``, ``1 min 20 s``, ``2 h 05 min``."""
    whole = round(max(seconds, 0))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def number(name: str, value: float) -> str:
    """Show a loss or a metric; accuracies as percentages."""
    return f"{100 * value:.2f} %" if name.endswith("accuracy") else f"{value:.4f}"


def durations(snapshot: Snapshot, now: datetime) -> list[tuple[str, float]]:
    """Return every state entered, and the seconds spent in it so far."""
    ends = [*[state.at for state in snapshot.states[1:]], snapshot.ended or now]
    return [(state.name, (end - state.at).total_seconds()) for state, end in zip(snapshot.states, ends, strict=False)]


def figures(progress: Mapping[str, Any]) -> list[str]:
    """Show the numbers of a progress record, as many as it has."""
    shown = []
    if progress.get("loss") is not None:
        shown.append(f"loss {number('loss', progress['loss'])}")
    shown += [f"{name} {number(name, value)}" for name, value in progress.get("metrics", {}).items()]
    if progress.get("samples_per_second") is not None:
        shown.append(f"{progress['samples_per_second']:,.0f} samples/s")
    if progress.get("seconds_left") is not None:
        shown.append(f"{clock(progress['seconds_left'])} left")
    return shown


def place(progress: Mapping[str, Any]) -> list[str]:
    """Say where a run is: lap, epoch and step."""
    lap = f"lap {progress['lap']}"
    if progress.get("attempt", 1) > 1:
        lap += f" (attempt {progress['attempt']})"
    return [
        lap,
        f"epoch {progress['epoch']}/{progress['epochs']}",
        f"step {progress['step']:,}/{progress['total_steps']:,}",
    ]


class LivePanel:
    """Redraws one panel; use as a context manager."""

    def __init__(self, console: Console, run_id: str) -> None:
        self._run_id = run_id
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> "LivePanel":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, snapshot: Snapshot, now: datetime) -> None:
        """Draw the newest snapshot."""
        self._live.update(self._panel(snapshot, now), refresh=True)

    def _panel(self, snapshot: Snapshot, now: datetime) -> Panel:
        progress = snapshot.progress
        rows: list[Any] = [_trail(durations(snapshot, now), running=snapshot.status == RUNNING)]
        if progress:
            line = Table.grid(padding=(0, 1))
            bar = ProgressBar(total=progress["total_steps"], completed=progress["step"], width=_BAR_CELLS)
            line.add_row(bar, " · ".join(place(progress)))
            rows += [line, " · ".join(figures(progress))]
        title = [self._run_id]
        if progress:
            title += [f"{progress['workers']} workers", progress["channel"], progress["pattern"]]
        elapsed = ((snapshot.ended or now) - snapshot.started).total_seconds()
        return Panel(
            Group(*rows),
            title=" · ".join(title),
            title_align="left",
            subtitle=clock(elapsed),
            subtitle_align="right",
            border_style="cyan",
            width=min(self._live.console.width - _MARGIN_CELLS, _PANEL_CELLS),
        )


class PlainLines:
    """Prints a line at every change of state, and the progress every few seconds; use as a context manager."""

    def __init__(self, console: Console, every: timedelta = timedelta(seconds=5)) -> None:
        self._console = console
        self._every = every
        self._states_shown = 0
        self._step_shown: tuple[Any, ...] = ()
        self._progress_at: datetime | None = None

    def __enter__(self) -> "PlainLines":
        return self

    def __exit__(self, *_: object) -> None:
        return

    def show(self, snapshot: Snapshot, now: datetime) -> None:
        """Print what is new."""
        for state in snapshot.states[self._states_shown :]:
            self._line(f"{clock((state.at - snapshot.started).total_seconds()):>12}  {state.name}")
        self._states_shown = len(snapshot.states)
        progress = snapshot.progress
        if not progress or (self._progress_at and now - self._progress_at < self._every):
            return
        step = (progress["lap"], progress.get("attempt"), progress["step"])
        if step != self._step_shown:
            self._line(f"{'':12}  {' · '.join(place(progress) + figures(progress))}")
            self._step_shown, self._progress_at = step, now

    def _line(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)


def _trail(states: list[tuple[str, float]], *, running: bool) -> Text:
    """Show the states passed, the repetitions of a relay folded together, and the current one in bold."""
    folded: list[tuple[str, float]] = []
    laps = sum(1 for name, _ in states if name == "Lap")
    for name, seconds in states[-_STATES_SHOWN:]:
        folded.append((f"{name} {laps}" if name == "Lap" and laps > 1 else name, seconds))
    trail = Text("… → " if len(states) > _STATES_SHOWN else "", style="dim")
    for index, (name, seconds) in enumerate(folded, start=1):
        is_last = index == len(folded)
        trail.append(f"{name} {clock(seconds)}", style="bold not dim" if running and is_last else "not dim")
        if not is_last:
            trail.append(" → ")
    return trail
