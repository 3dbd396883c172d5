"""What a run leaves: fetched into ``out/<run_id>`` and summed up on the terminal."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from rich.console import Console
from rich.table import Table

from local.display import clock, number
from local.stack import Stack
from paytrain.run import Keys

_EPOCHS_SHOWN = 20


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
        console.print(_bill(receipt), "")
        _show_receipt(console, receipt)
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
    table = Table(box=None, header_style="dim", pad_edge=False, show_footer=True, footer_style="bold")
    table.add_column("bill at AWS prices", footer="total")
    table.add_column("quantity", justify="right")
    table.add_column("unit")
    table.add_column("$ per unit", justify="right")
    table.add_column("$", justify="right", footer=f"{receipt['usd']:.6f}")
    for line in receipt["lines"]:
        price = f"{line['price']:.10f}".rstrip("0").rstrip(".")
        table.add_row(line["item"], f"{line['quantity']:,.6g}", line["unit"], price, f"{line['usd']:.6f}")
    return table


def _show_receipt(console: Console, receipt: Mapping[str, Any]) -> None:
    laps = f"{receipt['laps']} lap{'s' if receipt['laps'] != 1 else ''}"
    parts = [
        f"{receipt['steps']:,} steps in {laps}",
        f"{receipt['workers']} workers",
        f"{receipt['channel']}, {receipt['pattern']}, {receipt['wire']}",
        clock(receipt["seconds"]),
        f"${receipt['usd']:.4f}",
    ]
    console.print(" · ".join(parts), soft_wrap=True)
    console.print(f"weights_sha256 {receipt['weights_sha256']}", soft_wrap=True)


def _cell(name: str, value: Any) -> str:
    return "" if value is None else number(name, value)
