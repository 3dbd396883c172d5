"""The planner's answer on a terminal."""

import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from local.display import clock
from local.twin import ROOT
from paytrain.planner.estimate import Estimate
from paytrain.planner.outside import Alternative
from paytrain.planner.question import JobFacts
from paytrain.planner.search import Found
from paytrain.planner.span import Span

_FRONT_ROWS = 12
NEW_ACCOUNT_MB = 3008
CHANNELS = {"s3": "S3", "s3express": "S3 Express", "dynamodb": "DynamoDB", "memcached": "Memcached"}


def show(console: Console, job: JobFacts, why: str, found: Found, as_written: Found | None) -> None:
    """Print the question, the plans worth considering, what is outside, and the recommendation.

    Parameters
    ----------
    as_written
        The answer with nothing left open but channel and pattern, on a stack with the defaults.
    """
    console.print(
        f"{job.parameters:,} parameters · {job.samples:,} samples × {job.epochs} epochs · "
        f"batch {job.batch_size} per worker · {why}\n"
    )
    console.print(_plans(found))
    if len(found.front) > _FRONT_ROWS:
        console.print(f"{_FRONT_ROWS} of {len(found.front)}; all are in plan.html.", style="dim")
    console.print(
        "÷n: n local steps between two exchanges. Wires and local steps change what is learnt.\n", style="dim"
    )
    console.print(_outside(found.alternatives))
    console.print()
    if found.recommended:
        console.print(f"[green]→[/] [bold]{found.recommended.choice.name}[/]: {cost_and_time(found.recommended)}")
        if context := context_of(found.recommended):
            console.print(f"  It needs a stack deployed with {context}.")
    for reason in found.reasons:
        console.print(f"  {reason}")
    if found.advice:
        console.print(f"[yellow]![/] [bold]{found.advice}[/]")
    if as_written:
        _show_written(console, as_written, found.advice)
    if found.refused:
        console.print(f"  {len(found.refused):,} plans cannot work, such as {_example(found.refused)}", style="dim")


def _show_written(console: Console, written: Found, said: str) -> None:
    here = "As the job is written, on a stack with the defaults"
    if written.recommended is None:
        console.print(f"[yellow]![/] {here}: {written.reasons[0]}")
        return
    console.print(f"[green]→[/] {here}, {written.recommended.choice.name}: {cost_and_time(written.recommended)}")
    if written.advice and written.advice != said:
        console.print(f"  {written.advice}")


def cost_and_time(estimate: Estimate) -> str:
    """What is expected, and its range."""
    return f"{span(estimate.seconds)}, {dollars(estimate.usd)}"


def span(seconds: Span) -> str:
    """A duration with its range."""
    return f"{clock(seconds.expected)} ({clock(seconds.low)} to {clock(seconds.high)})"


def dollars(usd: Span) -> str:
    """An amount with its range, two digits of it."""
    return f"${money(usd.expected)} (${money(usd.low)} to ${money(usd.high)})"


def money(usd: float) -> str:
    """Dollars with two digits that say something."""
    if usd >= 10:
        return f"{usd:,.0f}"
    return f"{usd:.2f}" if usd >= 1 else f"{usd:.2g}" if usd >= 1e-4 else f"{usd:.1e}"


def place_of(estimate: Estimate) -> str:
    """Channel, with the cache's node and whether it is made for the run."""
    choice = estimate.choice
    if choice.workers == 1:
        return "alone"
    if choice.cache is None:
        return CHANNELS[choice.channel]
    made = "new cache" if choice.cache.mode == "per_execution" else "cache"
    return f"{made} {choice.cache.node_type.removeprefix('cache.')}"


def context_of(estimate: Estimate) -> str:
    """What a deployment must be given beyond the defaults for a plan, as ``cdk deploy`` takes it; or nothing."""
    choice, usual = estimate.choice, json.loads((ROOT / "cdk.json").read_text())["context"]
    given = []
    if choice.memory_mb not in usual["worker_memory_sizes"]:
        limit = " (a new account's functions have 3,008 MB at most)" if choice.memory_mb > NEW_ACCOUNT_MB else ""
        given.append(f"-c worker_memory_sizes={choice.memory_mb}{limit}")
    if choice.workers > 1 and choice.channel == "s3express":
        given.append("-c availability_zone_id=<one that has S3 Express>")
    if choice.workers > 1 and choice.cache:
        pairs = {"cache_mode": choice.cache.mode, "cache_node_type": choice.cache.node_type}
        given += [f"-c {key}={value}" for key, value in pairs.items() if usual[key] != value]
    return " ".join(given)


def _plans(found: Found) -> Table:
    title = "Plans that no other beats, fastest first"
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 1, 0, 0), title=title)
    table.title_justify = "left"
    for name in ("", "W", "MB", "over", "pattern", "wire", "time", "$"):
        table.add_column(name, justify="right" if name in ("W", "MB", "time", "$") else "left", no_wrap=True)
    for each in _some(found.front, found.recommended):
        choice, is_best = each.choice, found.recommended is not None and each.choice == found.recommended.choice
        wire = choice.wire + (f" ÷{choice.sync_every}" if choice.sync_every > 1 else "")
        table.add_row(
            "[green]→[/]" if is_best else "",
            str(choice.workers),
            f"{choice.memory_mb:,}",
            place_of(each),
            choice.pattern if choice.workers > 1 else "",
            wire if choice.workers > 1 else "",
            clock(each.seconds.expected),
            money(each.usd.expected),
            style="bold" if is_best else "",
        )
    return table


def _outside(alternatives: Sequence[Alternative]) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False, title="One instance instead (estimates)")
    table.title_justify = "left"
    for name in ("instance", "time", "$"):
        table.add_column(name, justify="left" if name == "instance" else "right")
    for each in sorted(alternatives, key=lambda one: one.usd.expected)[:5]:
        table.add_row(each.name, clock(each.seconds.expected), money(each.usd.expected))
    return table


def _some(front: Sequence[Estimate], recommended: Estimate | None) -> list[Estimate]:
    """Evenly chosen, the first and the last among them, and what is recommended, which may be beaten by other wires."""
    count = min(_FRONT_ROWS, len(front))
    chosen = [front[round(index * (len(front) - 1) / max(count - 1, 1))] for index in range(count)]
    if recommended and all(each.choice != recommended.choice for each in chosen):
        chosen.append(recommended)
    return sorted(chosen, key=lambda each: each.seconds.expected)


def _example(refused: dict[str, str]) -> str:
    name, reason = next(iter(refused.items()))
    return f"{name}: {reason}."
