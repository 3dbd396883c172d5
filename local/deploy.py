"""Deploy the stack into the laptop twin with the real CDK; run as ``python -m local.deploy``.

Bootstraps a new twin first, and does nothing when the twin already has what would be deployed.
"""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import boto3
import click
from botocore.exceptions import ClientError

from local.pairs import split_pairs
from local.terminal import LocalError, console, step
from local.twin import REGION, ROOT, Twin

BOOTSTRAP_STACK = "CDKToolkit"

_SOURCES = (
    "app.py",
    "cdk.json",
    "requirements.txt",
    "package-lock.json",
    "stacks",
    "lambda_src",
    "layers",
    "examples",
)
_SKIPPED = ("__pycache__", ".egg-info")
_NOISE = ("_IN_PROGRESS", "Subprocess exited with error")
_DEPLOYED = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
# The CDK would otherwise ask the internet for notices and new versions, and report its use.
_QUIET = {"CDK_DISABLE_CLI_TELEMETRY": "true", "CDK_DISABLE_VERSION_CHECK": "true"}


def deploy(twin: Twin, stack: str, context: Sequence[tuple[str, str]]) -> None:
    """Deploy, unless nothing has changed since the last deployment into this twin.

    Parameters
    ----------
    twin
        A running twin, in use (:meth:`Twin.use`).
    stack
        The stack's name.
    context
        CDK context: keys and values.

    Raises
    ------
    LocalError
        With the CDK's own words, when it fails.
    """
    record = twin.folder / f"{stack}.json"
    wanted = digest(ROOT, [stack, *(f"{key}={value}" for key, value in context)])
    if record.is_file() and json.loads(record.read_text()) == wanted and _status(stack) in _DEPLOYED:
        console.print(f"[green]✓[/] {stack} [dim]is deployed and unchanged[/]")
        return
    if _status(BOOTSTRAP_STACK) not in _DEPLOYED:
        account = boto3.client("sts").get_caller_identity()["Account"]
        with step("cdk bootstrap"):
            # Outside the app's folder: there the CDK would synthesise the stack just to bootstrap.
            _cdk(["bootstrap", f"aws://{account}/{REGION}"], twin.folder, twin.folder / "cdk-bootstrap.log")
        _admit_plain_http(account)
    # An interrupted deployment must not leave a record of the one before.
    record.unlink(missing_ok=True)
    with step(f"cdk deploy {stack}"):
        arguments = ["deploy", stack, "--require-approval", "never", "--output", str(twin.folder / "tmp" / "cdk.out")]
        for key, value in context:
            arguments += ["--context", f"{key}={value}"]
        _cdk(arguments, ROOT, twin.folder / "cdk-deploy.log")
    record.write_text(json.dumps(wanted))


def digest(root: Path, arguments: Sequence[str]) -> str:
    """Digest everything that goes into the template, the assets and the command line.

    Parameters
    ----------
    root
        Of the checkout.
    arguments
        Order counts: of two values for one context key the CDK takes the last.
    """
    total = hashlib.sha256(json.dumps(list(arguments)).encode())
    for path in _files(root):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"\0{path.relative_to(root).as_posix()}\0{content}".encode())
    return total.hexdigest()


def relevant_output(output: str, lines: int = 12) -> str:
    """Pick from the CDK's output what says why it failed: errors where there are some, else the end."""
    said = [line.rstrip() for line in output.splitlines() if line.strip() and not any(n in line for n in _NOISE)]
    failures = [line for line in said if "_FAILED" in line or "❌" in line]
    return "\n".join((failures or said)[-lines:])


def _files(root: Path) -> Iterator[Path]:
    for source in _SOURCES:
        path = root / source
        inside = [path] if path.is_file() else sorted(path.rglob("*"))
        for file in inside:
            if file.is_file() and not any(part.endswith(_SKIPPED) for part in file.relative_to(root).parts):
                yield file


def _admit_plain_http(account: str) -> None:
    """Functions read the examples from the bootstrap bucket, which refuses plain HTTP: all that the twin speaks."""
    boto3.client("s3").delete_bucket_policy(Bucket=f"cdk-hnb659fds-assets-{account}-{REGION}")


def _status(stack: str) -> str:
    try:
        stacks = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            return "ABSENT"
        raise
    return str(stacks[0]["StackStatus"])


def _cdk(arguments: Sequence[str], folder: Path, log: Path) -> None:
    command = ["cdk", *arguments, "--no-notices", "--no-color"]
    with log.open("wb") as output:
        ended = subprocess.run(
            command, cwd=folder, env={**os.environ, **_QUIET}, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    if ended.returncode != 0:
        raise LocalError(f"cdk {arguments[0]} failed:\n{relevant_output(log.read_text(errors='replace'))}")


@click.command()
@click.option("--stage", default="dev", envvar="PAYTRAIN_STAGE", show_default=True, help="Tells deployments apart.")
@click.option("--context", default="", envvar="PAYTRAIN_CONTEXT", help="CDK context: 'key=value …'.")
def main(stage: str, context: str) -> None:
    """Deploy the stack into the running twin."""
    chosen = split_pairs(context)
    if any(key == "stage" for key, _ in chosen):
        raise LocalError("The stage belongs to the command, not to the context: give it as STAGE=… or --stage.")
    twin = Twin.from_environment()
    twin.use()
    deploy(twin, f"paytrain-{stage}", [("packaging", "zip"), ("stage", stage), *chosen])


if __name__ == "__main__":
    main()
