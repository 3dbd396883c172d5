"""``python -m bench``: run the benchmarks on the running twin and write out/bench/."""

from pathlib import Path

import click

from bench import throughput
from local.stack import Stack
from local.twin import ROOT, Twin


@click.command()
@click.option("--stage", default="dev", envvar="PAYTRAIN_STAGE", show_default=True, help="Which deployment.")
@click.option("--repetitions", default=throughput.REPETITIONS, show_default=True, help="Runs of each contender.")
@click.option("--out", default=ROOT / "out" / "bench", type=Path, help="Where the tables go.")
def main(stage: str, repetitions: int, out: Path) -> None:
    """Measure and print the tables."""
    Twin.from_environment().use()
    path = throughput.write(throughput.measure(Stack(f"paytrain-{stage}"), repetitions), out)
    click.echo(path.read_text())
    click.echo(f"written to {path}")


if __name__ == "__main__":
    main()
