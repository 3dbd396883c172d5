"""The benchmark's rows as Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.cases import ALGORITHMS, CHANNELS, PATTERNS, SIZES, WORKERS, Case

Row = Mapping[str, Any]

NAMES = {
    "all_gather": "`all_gather`",
    "scatter_reduce": "`scatter_reduce`",
    "hierarchical": "`hierarchical`",
    "lambdaml_allreduce": "LambdaML AllReduce",
    "lambdaml_scatter_reduce": "LambdaML ScatterReduce",
    "naive_chunked": "naive chunked",
    "funcpipe": "FuncPipe",
}
CHANNEL_NAMES = {"s3": "S3", "memcached": "Memcached", "dynamodb": "DynamoDB", "s3express": "S3 Express"}


def simulated(rows: Sequence[Row], reasons: Mapping[Case, str]) -> str:
    """Seconds of a round by channel and size, a column per world size, and what was left out."""
    found = only(rows, source="simulated")
    parts = []
    for channel in CHANNELS:
        for node_type in dict.fromkeys(row["node_type"] for row in found if row["channel"] == channel):
            parts.append(f"### {CHANNEL_NAMES[channel]}{f', {node_type}' if node_type else ''}")
            for name, size in SIZES.items():
                if here := only(found, channel=channel, node_type=node_type, bytes=size):
                    parts.append(_table(name, here))
    parts += ["### Left out", _reasons(reasons)]
    return "\n\n".join(parts) + "\n"


def measured(rows: Sequence[Row]) -> str:
    """Seconds of a round on this machine's servers."""
    lines = [
        "| channel | network | vector | algorithm | s, median | s, p95 | requests | ours is faster by |",
        "|---|---|---:|---|---:|---:|---:|---:|",
    ]
    ours = 0.0
    for row in only(rows, source="measured"):
        # Of the algorithms that took turns ours comes first.
        is_ours = row["algorithm"] in PATTERNS
        ours = row["seconds_median"] if is_ours else ours
        faster = "" if is_ours else f"{row['seconds_median'] / ours:.1f} ×"
        lines.append(
            f"| {CHANNEL_NAMES[row['channel']]} | {row['network']} | {size_name(row['bytes'])} "
            f"| {NAMES[row['algorithm']]} | {seconds(row['seconds_median'])} | {seconds(row['seconds_p95'])} "
            f"| {row['requests']:,.0f} | {faster} |"
        )
    return "\n".join(lines) + "\n"


def seconds(value: float) -> str:
    """Three figures."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 1 else f"{value:.3f}"


def size_name(size: int) -> str:
    """As in :data:`SIZES`."""
    return next(name for name, each in SIZES.items() if each == size)


def usd(value: float) -> str:
    """Dollars of a thousand rounds, which is a figure that one can imagine."""
    thousand = 1000 * value
    return f"{thousand:,.2f}" if thousand >= 0.1 else f"{thousand:.4f}"


def _table(name: str, rows: Sequence[Row]) -> str:
    lines = [
        f"{name}: seconds of a round (times its floor; dollars of 1,000 rounds)",
        "",
        "| | " + " | ".join(f"W = {workers}" for workers in WORKERS) + " |",
        "|---|" + "---:|" * len(WORKERS),
    ]
    at = {(row["algorithm"], row["wire"], row["workers"]): row for row in rows}
    for algorithm, wire in sorted({key[:2] for key in at}, key=_order):
        cells = (_cell(at.get((algorithm, wire, workers))) for workers in WORKERS)
        label = NAMES[algorithm] + (f", {wire}" if wire != "float32" else "")
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _order(key: tuple[str, str]) -> tuple[int, bool, str]:
    algorithm, wire = key
    return ALGORITHMS.index(algorithm), wire != "float32", wire


def _cell(row: Row | None) -> str:
    if row is None:
        return "–"
    factor = row["seconds_median"] / row["floor_seconds"]
    return f"{seconds(row['seconds_median'])} ({factor:.{1 if factor >= 10 else 2}f} ×; {usd(row['usd'])})"


def _reasons(reasons: Mapping[Case, str]) -> str:
    lines = ["| channel | algorithm | vector | W | why |", "|---|---|---:|---:|---|"]
    for case, reason in reasons.items():
        channel = CHANNEL_NAMES[case.channel] + (f", {case.node_type}" if case.node_type else "")
        lines.append(f"| {channel} | {NAMES[case.algorithm]} | {size_name(case.bytes)} | {case.workers} | {reason} |")
    return "\n".join(lines)


def only(rows: Iterable[Row], **wanted: Any) -> list[Row]:
    """The rows that have these values."""
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]
