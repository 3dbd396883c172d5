"""The exchange's benchmark: out/bench/exchange.json, its tables and its pictures."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bench import measured, pictures, simulated, tables, targets
from bench.cases import Case, grid, left_out


def write(sources: Iterable[str], folder: Path) -> Path:
    """Run the cases of some sources, ``simulated`` or ``measured``; rows of others stay as they were.

    Returns
    -------
    Path
        Of the tables.
    """
    path = folder / "exchange.json"
    kept = json.loads(path.read_text()) if path.exists() else []
    runs = {"simulated": _simulated, "measured": measured.rows}
    rows = [row for row in kept if row["source"] not in sources]
    for source in sources:
        rows += runs[source]()
    rows.sort(key=lambda row: ("simulated", "measured").index(row["source"]))
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, indent=1) + "\n")
    return publish(rows, folder, folder)


def publish(rows: list[dict[str, Any]], folder: Path, images: Path) -> Path:
    """Write tables and pictures of rows; returns the tables' path."""
    pictures.draw(rows, images)
    path = folder / "exchange-results.md"
    path.write_text(
        "# The exchange: results\n\nMade by `make bench` from `out/bench/exchange.json`; "
        "[exchange.md](exchange.md) explains them.\n\n"
        f"## Figures to reach\n\n{targets.table(rows)}\n"
        "## Measured\n\nFour worker processes and the servers share this machine's two virtual cores; nothing here was "
        "measured on AWS. *loopback*: nothing between; *profile*: through a proxy that adds the profile's latency and "
        f"75 MB/s per worker and direction.\n\n{tables.measured(rows)}\n"
        f"## Simulated\n\n{tables.simulated(rows, _reasons(rows))}"
    )
    return path


def _simulated() -> Iterator[dict[str, Any]]:
    cases = [case for case in grid() if left_out(case) is None]
    return (row for row in simulated.rows(cases) if simulated.too_slow(row) is None)


def _reasons(rows: list[dict[str, Any]]) -> dict[Case, str]:
    """Why cases of the grid are not among the rows."""
    names = ("channel", "algorithm", "wire", "bytes", "workers", "node_type")
    there = {tuple(row[name] for name in names) for row in rows}
    slow = "a simulated round takes longer than a function may run"
    return {
        case: left_out(case) or slow for case in grid() if tuple(getattr(case, name) for name in names) not in there
    }
