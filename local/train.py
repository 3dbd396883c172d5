"""Start a training run, follow it and fetch its results; run as ``python -m local.train``.

Speaks to the laptop twin with ``--twin``, else to the account that the environment points at.
"""

import contextlib
import json
import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from botocore.exceptions import BotoCoreError, ClientError
from rich.markup import escape

from local import results
from local.display import LivePanel, PlainLines
from local.execution import RUNNING, SUCCEEDED, Execution, Snapshot
from local.pairs import override
from local.stack import Stack
from local.terminal import LocalError, console
from local.twin import ROOT, Twin
from local.uploads import replace_files, uploader

_POLL_SECONDS = 0.5
_INTERRUPTED = 130


def read_job(path: Path, raw: str, channel: str, workers: int | None, settings: str) -> dict[str, Any]:
    """Return the job of a file, or the raw JSON if there is any, with what the command line overrides.

    Raises
    ------
    LocalError
        When the file is missing or is not a JSON object.
    """
    try:
        job = json.loads(raw or path.read_text())
    except OSError as error:
        raise LocalError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise LocalError(f"{'--input' if raw else path} is not JSON: {error}.") from None
    if not isinstance(job, dict):
        raise LocalError(f"{'--input' if raw else path} must be a JSON object.")
    if channel:
        job["channel"] = channel
    if workers is not None:
        job["workers"] = workers
    return override(job, settings)


def follow(execution: Execution) -> Snapshot:
    """Show an execution until it ends; return how it ended."""
    display = LivePanel(console, execution.run_id) if console.is_terminal else PlainLines(console)
    with display:
        while True:
            snapshot = execution.poll()
            display.show(snapshot, datetime.now(UTC))
            if snapshot.status != RUNNING:
                return snapshot
            time.sleep(_POLL_SECONDS)


def why(snapshot: Snapshot) -> str:
    """Say in one line why an execution did not succeed."""
    cause = snapshot.cause.strip()
    # A Lambda's own failure arrives as JSON around the sentence.
    with contextlib.suppress(ValueError, KeyError, TypeError):
        cause = json.loads(cause)["errorMessage"]
    return cause.splitlines()[0] if cause else f"The execution ended as {snapshot.status}."


def finish(execution: Execution, snapshot: Snapshot) -> int:
    """Fetch and show what the run left; return the exit status."""
    console.print()
    results.show(console, results.fetch(execution.stack, execution.run_id, ROOT / "out"))
    if snapshot.status == SUCCEEDED:
        console.print(f"[green]✓[/] {execution.run_id} succeeded")
        return 0
    console.print(f"[red]✗[/] {execution.run_id} failed: {escape(why(snapshot))}", soft_wrap=True)
    return 1


@click.command()
@click.option("--twin", "on_twin", is_flag=True, help="Run in the laptop twin.")
@click.option("--stage", default="dev", envvar="PAYTRAIN_STAGE", show_default=True, help="Which deployment.")
@click.option("--job", default="examples/mnist.json", envvar="PAYTRAIN_JOB", type=Path, help="A file with the job.")
@click.option("--input", "raw", default="", help="The job as JSON, in place of a file.")
@click.option("--channel", default="", envvar="PAYTRAIN_CHANNEL", help="s3, s3express, dynamodb, memcached or auto.")
@click.option("--workers", envvar="PAYTRAIN_WORKERS", type=int, help="World size.")
@click.option("--set", "settings", default="", envvar="PAYTRAIN_SET", help="Job keys: 'epochs=1 batch_size=32'.")
@click.option("--follow", "followed", default="", help="Follow a run that has been started, by its id.")
@click.option("--stop", "stopped", default="", help="Stop a run, by its id.")
def main(
    on_twin: bool,
    stage: str,
    job: Path,
    raw: str,
    channel: str,
    workers: int | None,
    settings: str,
    followed: str,
    stopped: str,
) -> None:
    """Train a model: start a run, follow it, fetch its results into out/<run id>."""
    if on_twin:
        Twin.from_environment().use()
    stack = Stack(f"paytrain-{stage}")
    try:
        if stopped:
            Execution(stack, stopped).stop()
            console.print(f"{stopped} is stopping")
            return
        if followed:
            execution = Execution(stack, followed)
        else:
            wanted = read_job(job, raw, channel, workers, settings)
            run_id = f"{datetime.now():%Y%m%d-%H%M%S}-{name_of(wanted)}"[:80]
            wanted = replace_files(wanted, uploader(stack.s3, stack.artifacts_bucket))
            execution = Execution.start(stack, run_id, wanted)
            console.print(f"[green]✓[/] started {execution.run_id}")
        try:
            snapshot = follow(execution)
        except KeyboardInterrupt:
            _say_left_running(execution, on_twin, stage)
            sys.exit(_INTERRUPTED)
        sys.exit(finish(execution, snapshot))
    except (ClientError, BotoCoreError) as error:
        raise LocalError(str(error)) from None


def name_of(job: dict[str, Any]) -> str:
    """Of its model, in letters that an execution's name may have."""
    model = Path(str(job.get("model", "mnist")).rpartition(":")[2]).stem
    return re.sub("[^A-Za-z0-9_-]+", "-", model) or "run"


def _say_left_running(execution: Execution, on_twin: bool, stage: str) -> None:
    python = Path(sys.executable)
    command = f"{python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python} -m local.train"
    command += " --twin" if on_twin else ""
    command += f" --stage {stage}" if stage != "dev" else ""
    console.print(f"\n{execution.run_id} goes on without you.")
    console.print(f"  follow it:  {command} --follow {execution.run_id}", soft_wrap=True)
    console.print(f"  stop it:    {command} --stop {execution.run_id}", soft_wrap=True)


if __name__ == "__main__":
    main()
