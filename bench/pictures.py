"""Pictures of the benchmark, simulated cases only: one message each, a colour per algorithm that never changes."""

from collections.abc import Callable, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from bench.cases import ALGORITHMS, NODE_TYPE, PATTERNS, SIZES, WORKERS
from bench.tables import Row, only, seconds

plt.switch_backend("svg")

_COLOURS = {
    "all_gather": "#56b4e9",
    "scatter_reduce": "#0072b2",
    "hierarchical": "#009e73",
    "lambdaml_allreduce": "#d55e00",
    "lambdaml_scatter_reduce": "#e69f00",
    "naive_chunked": "#cc79a7",
    "funcpipe": "#8c8c8c",
}
"""M. Okabe, K. Ito: Color Universal Design, 2008."""
_LABELS = {
    "all_gather": "all_gather",
    "scatter_reduce": "scatter_reduce",
    "hierarchical": "hierarchical",
    "lambdaml_allreduce": "LambdaML AllReduce",
    "lambdaml_scatter_reduce": "LambdaML ScatterReduce",
    "naive_chunked": "naive chunked",
    "funcpipe": "FuncPipe",
}
_CHANNELS = {
    "s3": ("S3", ""),
    "s3express": ("S3 Express", ""),
    "memcached": (f"Memcached, one {NODE_TYPE.removeprefix('cache.')}", NODE_TYPE),
    "dynamodb": ("DynamoDB, a new table", ""),
}
_STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "svg.hashsalt": "paytrain",
    "svg.fonttype": "path",
}
_FLOOR = {"color": "black", "linewidth": 1.2, "linestyle": (0, (4, 2))}
_SIZE, _WORKERS = "12 MB", 16


def draw(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Draw all pictures of the simulated rows, if there are any; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    found = only(rows, source="simulated", wire="float32")
    if not found:
        return []
    with plt.rc_context(_STYLE):
        pictures = {
            "exchange-bars": _bars(found),
            "exchange-growth": _growth(found),
            "exchange-dollars": _dollars(found),
        }
        paths = []
        for name, figure in pictures.items():
            paths.append(folder / f"{name}.svg")
            # Without the date, the same rows give the same file.
            figure.savefig(paths[-1], metadata={"Date": None})
            plt.close(figure)
    return paths


def _bars(rows: Sequence[Row]) -> Any:
    """One panel per channel: seconds by algorithm, and the floor."""
    panels = {
        channel: sorted(
            only(rows, channel=channel, node_type=node_type, bytes=SIZES[_SIZE], workers=_WORKERS),
            key=itemgetter("seconds_median"),
        )
        for channel, (_, node_type) in _CHANNELS.items()
    }
    heights = [max(1, len(each)) for each in panels.values()]
    figure, axes = plt.subplots(
        len(panels), 1, figsize=(8, 0.36 * sum(heights) + 3.2), height_ratios=heights, layout="constrained"
    )
    for axis, (channel, here) in zip(axes, panels.items(), strict=True):
        axis.set_title(_CHANNELS[channel][0], pad=18)
        axis.barh(
            [_LABELS[row["algorithm"]] for row in here],
            [row["seconds_median"] for row in here],
            color=[_COLOURS[row["algorithm"]] for row in here],
        )
        most = max(row["seconds_median"] for row in here)
        for index, row in enumerate(here):
            axis.text(row["seconds_median"] + most / 100, index, f"{seconds(row['seconds_median'])} s", va="center")
        floor = min(row["floor_seconds"] for row in here)
        axis.axvline(floor, **_FLOOR)
        axis.text(floor, -0.8, f"floor {seconds(floor)} s", ha="center", va="bottom", fontsize=8)
        axis.invert_yaxis()
        axis.set_xlim(0, 1.12 * most)
        axis.tick_params(axis="y", length=0)
        for label, row in zip(axis.get_yticklabels(), here, strict=True):
            label.set_fontweight("bold" if row["algorithm"] in PATTERNS else "normal")
    axes[-1].set_xlabel("seconds per round, less is better; bold: paytrain's patterns")
    figure.suptitle(f"Summing {_SIZE} over {_WORKERS} functions (simulated, float32)", x=0.01, ha="left", fontsize=13)
    return figure


def _growth(rows: Sequence[Row]) -> Any:
    """Seconds against the number of workers, a panel per channel."""
    title = f"A round of {_SIZE} as the gang grows (simulated, float32)"
    figure, panels = _panels(rows, title, "seconds per round", itemgetter("seconds_median"), "{} s")
    for axis, here in panels:
        ours = [row for row in here if row["algorithm"] in PATTERNS]
        floors = [
            min((row["floor_seconds"] for row in ours if row["workers"] == workers), default=float("nan"))
            for workers in WORKERS
        ]
        axis.plot(WORKERS, floors, **_FLOOR, zorder=1)
        axis.annotate("floor", (WORKERS[0], floors[0]), xytext=(0, -12), textcoords="offset points", fontsize=8)
    return figure


def _dollars(rows: Sequence[Row]) -> Any:
    """Dollars of a thousand rounds against the number of workers."""
    title = f"What 1,000 rounds of {_SIZE} cost as the gang grows (simulated, float32)"
    dollars = "dollars: workers' time, requests, cache"
    return _panels(rows, title, dollars, lambda row: 1000 * row["usd"], "${}")[0]


def _panels(
    rows: Sequence[Row], title: str, unit: str, value: Callable[[Row], float], label: str
) -> tuple[Any, list[tuple[Any, list[Row]]]]:
    """A figure with a panel per channel, and in each a line per algorithm, named at its end with its last value."""
    figure, grid = plt.subplots(2, 2, figsize=(11, 9), layout="constrained", sharey=True)
    axes, panels, ends = list(grid.flat), [], []
    for axis, (channel, (name, node_type)) in zip(axes, _CHANNELS.items(), strict=True):
        here = only(rows, channel=channel, node_type=node_type, bytes=SIZES[_SIZE])
        panels.append((axis, here))
        axis.set_title(name)
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xticks(WORKERS, [str(workers) for workers in WORKERS])
        axis.set_xlim(WORKERS[0] * 0.8, WORKERS[-1] * 14)
        axis.minorticks_off()
        axis.yaxis.set_major_formatter(lambda tick, _: f"{tick:,g}")
        axis.set_xlabel("workers", loc="left")
        axis.grid(axis="y", color="#dddddd", linewidth=0.6)
        ends.append(_lines(axis, here, value))
    for axis in grid[:, 0]:
        axis.set_ylabel(unit)
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(low / 2, high * 2)
    for axis, here in zip(axes, ends, strict=True):
        _name(axis, here, label)
    figure.suptitle(title, x=0.01, ha="left", fontsize=13)
    return figure, panels


def _lines(axis: Any, rows: Sequence[Row], value: Callable[[Row], float]) -> list[tuple[float, int, str]]:
    """Draw them; returns where each ends: value, workers, algorithm."""
    ends = []
    for algorithm in ALGORITHMS:
        line = sorted(only(rows, algorithm=algorithm), key=itemgetter("workers"))
        if line:
            axis.plot(
                [row["workers"] for row in line],
                [value(row) for row in line],
                color=_COLOURS[algorithm],
                marker="o",
                markersize=4,
                linewidth=2.4 if algorithm in PATTERNS else 1.4,
            )
            ends.append((value(line[-1]), line[-1]["workers"], algorithm))
    return ends


def _name(axis: Any, ends: Sequence[tuple[float, int, str]], label: str) -> None:
    """Name the lines at the right; names that would overlap are moved apart."""
    low, high = axis.get_ylim()
    least_apart = (high / low) ** (1 / 17)
    at = 0.0
    for value, workers, algorithm in sorted(ends):
        at = max(value, at * least_apart)
        axis.annotate(
            f"{_LABELS[algorithm]}, {label.format(seconds(value))}",
            (workers, value),
            xytext=(WORKERS[-1] * 1.25, at),
            color=_COLOURS[algorithm],
            fontsize=8,
            va="center",
            fontweight="bold" if algorithm in PATTERNS else "normal",
            arrowprops={"arrowstyle": "-", "color": _COLOURS[algorithm], "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2},
        )
