"""Measure the services from inside the workers; run as ``python -m local.calibrate``.

Speaks to the laptop twin with ``--twin``, else to the account that the environment points at.
"""

import json
import sys
from datetime import datetime
from typing import Any

import click
from botocore.exceptions import BotoCoreError, ClientError
from rich.markup import escape
from rich.table import Table

from local.execution import SUCCEEDED, Execution
from local.stack import Stack
from local.terminal import LocalError, console
from local.train import follow, why
from local.twin import ROOT, Twin
from paytrain import facts
from paytrain.calibration import estimated_usd
from paytrain.planner.profile import KEY

_USUAL_MEMORY_MB = 1769
_OPERATIONS = [
    ("S3", "s3_standard", "put"),
    ("S3", "s3_standard", "get"),
    ("S3 Express", "s3_express", "put"),
    ("S3 Express", "s3_express", "get"),
    ("DynamoDB", "dynamodb", "put"),
    ("DynamoDB", "dynamodb", "get"),
    ("Memcached", "memcached", "set"),
    ("Memcached", "memcached", "get"),
]


def table(measured: dict[str, Any], built_in: dict[str, Any]) -> Table:
    """Return what was measured beside what the library assumes without it."""
    shown = Table(box=None, header_style="dim", pad_edge=False)
    shown.add_column("")
    for name in ("measured", "built-in"):
        for unit in ("p50 ms", "p99 ms", "MB/s"):
            shown.add_column(f"{name}\n{unit}", justify="right")
    for title, service, operation in _OPERATIONS:
        if service in measured:
            cells = [*_cells(measured[service][operation]), *_cells(built_in[service][operation])]
            shown.add_row(f"{title} {operation}", *cells)
    return shown


def others(measured: dict[str, Any], built_in: dict[str, Any]) -> list[str]:
    """Return lines of what is no latency: a worker's start, a larger item, what a request costs the CPU."""
    figures = [
        ("a worker's start", ("lambda_invoke", "python_tf_container_cold_s", "value"), "s"),
        ("DynamoDB, for every KB more", ("dynamodb", "per_kb_extra_ms", "value"), "ms"),
        ("CPU time of a request", ("_meta", "python_overhead_ms", "value"), "ms"),
    ]
    lines = []
    for title, path, unit in figures:
        new, old = _at(measured, path), _at(built_in, path)
        if new is not None:
            lines.append(f"{title}: {new:.3g} {unit} (built-in: {old:.3g} {unit})")
    return lines


def _cells(operation: dict[str, Any]) -> list[str]:
    quantiles, stream = operation["quantiles_ms"], operation.get("stream_mb_s")
    return [f"{quantiles['p50']:.2f}", f"{quantiles['p99']:.2f}", f"{stream:,.0f}" if stream else "–"]


def _at(profile: dict[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = profile
    for name in path:
        value = (value or {}).get(name)
    return value


@click.command()
@click.option("--twin", "on_twin", is_flag=True, help="In the laptop twin.")
@click.option("--stage", default="dev", envvar="PAYTRAIN_STAGE", show_default=True, help="Which deployment.")
def main(on_twin: bool, stage: str) -> None:
    """Measure latency and bandwidth of the deployed channels, and a worker's start; plans then use them."""
    if on_twin:
        Twin.from_environment().use()
    try:
        stack = Stack(f"paytrain-{stage}")
        usd = estimated_usd(_USUAL_MEMORY_MB, "x86_64", inside=True)
        console.print(f"A calibration takes a minute or two and costs less than ${usd:.3f} at AWS prices.")
        execution = Execution.start(stack, f"{datetime.now():%Y%m%d-%H%M%S}-calibrate", {"calibrate": True})
        console.print(f"[green]✓[/] started {execution.run_id}")
        snapshot = follow(execution)
        if snapshot.status != SUCCEEDED:
            console.print(f"[red]✗[/] {execution.run_id} failed: {escape(why(snapshot))}", soft_wrap=True)
            sys.exit(1)
        body = stack.s3.get_object(Bucket=stack.artifacts_bucket, Key=KEY)["Body"].read()
    except (ClientError, BotoCoreError) as error:
        raise LocalError(str(error)) from None
    measured, built_in = json.loads(body), facts.read("service_profile")
    path = ROOT / "out" / "service_profile.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(body)
    console.print("", table(measured, built_in), "")
    for line in others(measured, built_in):
        console.print(line)
    console.print(f"s3://{stack.artifacts_bucket}/{KEY}, a copy in {path.relative_to(ROOT)}", soft_wrap=True)


if __name__ == "__main__":
    main()
