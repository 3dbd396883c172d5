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

_BAR_CELLS = 36
_PANEL_CELLS = 110
# Room for the ^C that a terminal echoes; a wrapped line would spoil the panel.
_MARGIN_CELLS = 3
_LINE_EVERY = timedelta(seconds=5)


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
    shown += [
        f"{name} {number(name, value)}" for name, value in progress.get("metrics", {}).items() if value is not None
    ]
    if progress.get("samples_per_second") is not None:
        shown.append(f"{progress['samples_per_second']:,.0f} samples/s")
    if progress.get("seconds_left") is not None:
        shown.append(f"{clock(progress['seconds_left'])} left")
    if progress.get("usd") is not None:
        shown.append(f"${progress['usd']:.4f} so far")
    return shown


def place(progress: Mapping[str, Any]) -> list[str]:
    """Say where a run is; records count laps, attempts and finished epochs from 0, people from 1."""
    lap = f"lap {progress['lap'] + 1}"
    if progress["attempt"]:
        lap += f" (attempt {progress['attempt'] + 1})"
    return [
        lap,
        f"epoch {min(progress['epoch'] + 1, progress['epochs'])}/{progress['epochs']}",
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
        rows: list[Any] = [_trail(snapshot, now)]
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
    """Prints a line at every change of state, and the progress now and then; use as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._states_shown = 0
        self._step_shown: tuple[Any, ...] = ()
        self._progress_at: datetime | None = None

    def __enter__(self) -> "PlainLines":
        return self

    def __exit__(self, *_: object) -> None:
        return

    def show(self, snapshot: Snapshot, now: datetime) -> None:
        """Print what is new: how far the run was, before the state that it has moved on to."""
        new_states = snapshot.states[self._states_shown :]
        if snapshot.progress and (new_states or self._is_due(snapshot, now)):
            self._show_progress(snapshot.progress, now)
        for state in new_states:
            self._line(f"{clock((state.at - snapshot.started).total_seconds()):>12}  {state.name}")
        self._states_shown = len(snapshot.states)

    def _is_due(self, snapshot: Snapshot, now: datetime) -> bool:
        """The longer a run takes, the less often: a log of hours should still be readable."""
        interval = max(_LINE_EVERY, (now - snapshot.started) / 20)
        return self._progress_at is None or now - self._progress_at >= interval

    def _show_progress(self, progress: Mapping[str, Any], now: datetime) -> None:
        step = (progress["lap"], progress["attempt"], progress["step"])
        if step != self._step_shown:
            self._line(f"{'':12}  {' · '.join(place(progress) + figures(progress))}")
            self._step_shown, self._progress_at = step, now

    def _line(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)


def _trail(snapshot: Snapshot, now: datetime) -> Text:
    """Show the states entered, a relay's repetitions folded together, and the current one in bold."""
    visits: dict[str, list[float]] = {}
    for name, seconds in durations(snapshot, now):
        visits.setdefault(name, []).append(seconds)
    current = snapshot.states[-1].name if snapshot.states and snapshot.status == RUNNING else ""
    shown = [
        Text(
            f"{name}{f' ×{len(times)}' if len(times) > 1 else ''} {clock(sum(times))}",
            "bold" if name == current else "",
        )
        for name, times in visits.items()
    ]
    return Text(" → ", style="dim").join(shown)
