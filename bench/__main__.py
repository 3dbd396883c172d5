"""``python -m bench``: run the benchmarks and write out/bench/."""

import json
from collections.abc import Sequence
from pathlib import Path

import click

from bench import exchange, predictions, throughput
from local.stack import Stack
from local.twin import ROOT, Twin

IN_TWIN = ("throughput", "predictions")
PARTS = (*IN_TWIN, "simulated", "measured")
DOCS = ROOT / "docs"


@click.command()
@click.option("--stage", default="dev", envvar="PAYTRAIN_STAGE", show_default=True, help="Which deployment.")
@click.option("--repetitions", default=throughput.REPETITIONS, show_default=True, help="Runs of each contender.")
@click.option(
    "--part", "parts", multiple=True, default=PARTS, type=click.Choice(PARTS), help="Only this; may be repeated."
)
@click.option("--out", default=ROOT / "out" / "bench", type=Path, help="Where the tables go.")
@click.option("--docs", is_flag=True, help="Write the exchange's results and pictures into docs/, from exchange.json.")
def main(stage: str, repetitions: int, parts: Sequence[str], out: Path, docs: bool) -> None:
    """Measure and print the tables.

    ``throughput`` and ``predictions`` need the twin; the exchange's parts, ``simulated`` and ``measured``, start what
    they need.
    """
    if docs:
        rows = json.loads((out / "exchange.json").read_text())
        click.echo(f"written to {exchange.publish(rows, DOCS, DOCS / 'img')}")
        return
    paths = []
    if sources := [part for part in parts if part not in IN_TWIN]:
        paths.append(exchange.write(sources, out))
    if set(IN_TWIN) & set(parts):
        Twin.from_environment().use()
        stack = Stack(f"paytrain-{stage}")
        if "throughput" in parts:
            paths.append(throughput.write(throughput.measure(stack, repetitions), out))
        if "predictions" in parts:
            paths.append(predictions.write(predictions.measure(stack), out))
    for path in paths:
        click.echo(path.read_text())
        click.echo(f"written to {path}")


if __name__ == "__main__":
    main()
