"""What a run leaves: fetched into ``out/<run_id>`` and summed up on the terminal."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from local.display import clock, number
from local.stack import Stack
from paytrain.run import Keys

_EPOCHS_SHOWN = 20
_SECONDS_SHOWN = 0.05
"""Phases that take less, all workers together, are not worth a column."""
_ENDS = {
    "budget": "It was stopped at the last step that its budget paid for.",
    "deadline": "It was stopped at the last step that its deadline left time for.",
    "early_stopping": "It was stopped early: the monitored metric improved no longer.",
}
_SMALL_FUNCTIONS = ("resolve", "plan", "open_cache", "close_lap", "explain", "stop_run")


def fetch(stack: Stack, run_id: str, out: Path) -> list[Path]:
    """Download what the run has stored and point ``out/latest`` at it.

    Returns
    -------
    list of Path
        The files that exist; a run that failed early has stored none.
    """
    folder = out / run_id
    folder.mkdir(parents=True, exist_ok=True)
    keys = Keys(run_id)
    fetched = []
    for key in (keys.model, keys.history, keys.receipt, keys.plan):
        path = folder / Path(key).name
        try:
            stack.s3.download_file(stack.artifacts_bucket, key, str(path))
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            continue
        fetched.append(path)
    if not fetched:
        folder.rmdir()
        return []
    latest = out / "latest"
    latest.unlink(missing_ok=True)
    latest.symlink_to(run_id)
    return fetched


def show(console: Console, files: Sequence[Path]) -> None:
    """Print epochs, bill, result and paths, as far as the files are there."""
    by_name = {path.name: path for path in files}
    history = json.loads(by_name["history.json"].read_text()) if "history.json" in by_name else []
    if history:
        console.print(_epochs(history), "")
    if "receipt.json" in by_name:
        receipt = json.loads(by_name["receipt.json"].read_text())
        plan = json.loads(by_name["plan.json"].read_text()) if "plan.json" in by_name else {}
        console.print(_phases(receipt), "")
        console.print(_bill(receipt))
        for note in _notes(receipt):
            console.print(note, style="dim")
        console.print()
        _show_choice(console, plan.get("considered") or {})
        _show_receipt(console, receipt, plan.get("total_steps", receipt["steps"]))
    if files:
        folder = files[0].parent
        shown = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
        console.print(f"[bold]{shown}/[/]  {'  '.join(by_name)}", soft_wrap=True)


def _epochs(history: Sequence[Mapping[str, Any]]) -> Table:
    columns = [name for name in history[-1] if name != "epoch"]
    table = Table(box=None, header_style="dim", pad_edge=False)
    for name in ("epoch", *columns):
        table.add_column(name, justify="right")
    numbered = list(enumerate(history, start=1))[-_EPOCHS_SHOWN:]
    for index, epoch in numbered:
        style = "bold" if index == len(history) else ""
        table.add_row(str(index), *[_cell(name, epoch.get(name)) for name in columns], style=style)
    return table


def _bill(receipt: Mapping[str, Any]) -> Table:
    """The bill by service; lines that differ only in the small function that they are for are shown as one."""
    table = Table(box=None, header_style="dim", pad_edge=False, show_footer=True, footer_style="bold")
    table.add_column("bill at AWS prices", footer="total")
    table.add_column("quantity", justify="right")
    table.add_column("unit")
    table.add_column("$ per unit", justify="right")
    table.add_column("$", justify="right", footer=f"{receipt['usd']:.6f}")
    rows: dict[tuple[str, str, str, float], list[float]] = {}
    for line in receipt["lines"]:
        if line["price"]:
            row = rows.setdefault((line["service"], _row_of(line), line["unit"], line["price"]), [0.0, 0.0])
            row[0] += line["quantity"]
            row[1] += line["usd"]
    service_shown = ""
    for (service, item, unit, price), (quantity, usd) in rows.items():
        if service != service_shown:
            table.add_row(service, style="dim")
            service_shown = service
        shown = f"{price:.10f}".rstrip("0").rstrip(".")
        table.add_row(f"  {item}", f"{quantity:,.6g}", unit, shown, f"{usd:.6f}")
    return table


def _row_of(line: Mapping[str, Any]) -> str:
    if line["service"] == "Lambda" and line["unit"] == "requests":
        return "requests"
    item = "control functions" if line["item"] in _SMALL_FUNCTIONS else line["item"]
    return f"{item} *" if "note" in line else item


def _notes(receipt: Mapping[str, Any]) -> list[str]:
    """What the bill's marks mean, and what was counted and costs nothing."""
    notes = dict.fromkeys(f"* {line['item']}: {line['note']}" for line in receipt["lines"] if "note" in line)
    free = [
        f"{line['item']} {line['quantity']:,.{3 if line['unit'] == 'GB' else 0}f} {line['unit']}"
        for line in receipt["lines"]
        if not line["price"]
    ]
    dated = f"list prices of {receipt['prices_as_of']}"
    return [dated, *notes, *(["free of charge: " + ", ".join(free)] if free else [])]


def _phases(receipt: Mapping[str, Any]) -> Table:
    """Seconds of a rank by phase: the mean over all, and the slowest."""
    ranks = receipt["phases"]
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("seconds")
    names = [name for name, total in receipt["phases_total"].items() if total >= _SECONDS_SHOWN]
    for name in names:
        table.add_column(name, justify="right")
    table.add_row("mean", *[f"{receipt['phases_total'][name] / len(ranks):.1f}" for name in names])
    table.add_row("slowest", *[f"{max(rank[name] for rank in ranks):.1f}" for name in names])
    return table


def _show_choice(console: Console, considered: Mapping[str, Any]) -> None:
    """Why the planner has chosen what the job left to it."""
    for sentence in [*considered.get("reasons", ()), considered.get("advice")]:
        if sentence:
            console.print(f"plan: {escape(sentence)}", soft_wrap=True, style="dim")


def _show_receipt(console: Console, receipt: Mapping[str, Any], total_steps: int) -> None:
    of_all = f" of {total_steps:,}" if receipt["steps"] < total_steps else ""
    alone = receipt["workers"] == 1
    parts = [
        f"{receipt['steps']:,}{of_all} steps in {_counted(receipt['laps'], 'lap')}",
        _counted(receipt["workers"], "worker"),
        "nothing to exchange" if alone else f"{receipt['channel']}, {receipt['pattern']}, {receipt['wire']}",
        clock(receipt["seconds"]),
        f"${receipt['usd']:.4f}",
    ]
    console.print(" · ".join(parts), soft_wrap=True)
    if of_all and receipt["stopped_by"] in _ENDS:
        console.print(f"[yellow]![/] [bold]{_ENDS[receipt['stopped_by']]}[/]")
    if results := receipt.get("results"):
        scores = " · ".join(f"{name} {number(name, value)}" for name, value in results.items() if value is not None)
        console.print(f"results: {escape(scores)}", soft_wrap=True)
    if predicted := receipt.get("predicted"):
        console.print(_predicted(predicted), soft_wrap=True, style="dim")
    console.print(f"weights_sha256 {receipt['weights_sha256']}", soft_wrap=True)
    if receipt["evaluation"] != "complete":
        console.print(escape(f"evaluation {receipt['evaluation']}"), soft_wrap=True)


def _predicted(predicted: Mapping[str, Any]) -> str:
    """What the planner had expected, beside what was."""
    seconds, usd = predicted["seconds"], predicted["usd"]
    return (
        f"predicted for {predicted['profile'].split(',')[0]} profile: {clock(seconds['expected'])} "
        f"({clock(seconds['low'])} to {clock(seconds['high'])}) · ${usd['expected']:.4f} "
        f"(${usd['low']:.4f} to ${usd['high']:.4f})"
    )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' if count != 1 else ''}"


def _cell(name: str, value: Any) -> str:
    return "" if value is None else number(name, value)
