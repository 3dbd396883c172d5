"""The layers of the zip functions: the library, and the third-party packages it needs."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "layers" / "dependencies" / "requirements.txt"
BUILT = ROOT / "out" / "layers"

_WHEELS = ("manylinux_2_28", "manylinux_2_27", "manylinux2014")


class LayerError(Exception):
    """The dependencies cannot be installed; likely cause: pip cannot reach its index."""


class Layers(Construct):
    """Both layers, in the order in which functions list them.

    Parameters
    ----------
    runtime
        Of the functions.
    arm
        Whether they run on arm64.
    for_this_python
        Install for the interpreter that runs this program instead of ``runtime`` on Lambda.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, runtime: lambda_.Runtime, arm: bool, for_this_python: bool
    ) -> None:
        super().__init__(scope, construct_id)
        options = [] if for_this_python else _wheels_for_lambda(runtime, arm=arm)
        packages = install(options)
        self.versions: list[lambda_.ILayerVersion] = [
            lambda_.LayerVersion(
                self,
                "Paytrain",
                description="the library paytrain",
                compatible_runtimes=[runtime],
                code=lambda_.Code.from_asset(
                    str(ROOT / "layers" / "paytrain"),
                    exclude=["/pyproject.toml", "/build", "*.egg-info", "__pycache__"],
                    ignore_mode=cdk.IgnoreMode.GIT,
                ),
            ),
            lambda_.LayerVersion(
                self,
                "Dependencies",
                description="third-party packages",
                compatible_runtimes=[runtime],
                # Named by what it is made from: pip's output differs in time stamps from one installation to the next.
                code=lambda_.Code.from_asset(str(packages), asset_hash=packages.name),
            ),
        ]


def install(options: Sequence[str]) -> Path:
    """Install the requirements as a layer wants them, or find them installed by an earlier synth.

    Parameters
    ----------
    options
        Further options of ``pip install``.

    Returns
    -------
    Path
        A folder with ``python/<package>``, named by the hash of requirements and options.

    Raises
    ------
    LayerError
        With the end of what pip said.
    """
    made_from = [REQUIREMENTS.read_text(), sys.version if not options else "", sys.platform, *options]
    folder = BUILT / hashlib.sha256("\n".join(made_from).encode()).hexdigest()
    if folder.is_dir():
        return folder
    BUILT.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=BUILT))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    command = [*pip, "--requirement", str(REQUIREMENTS), "--target", str(unfinished / "python"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(unfinished)
        raise LayerError(f"Installing {REQUIREMENTS.relative_to(ROOT)} failed: {done.stderr.strip()[-2000:]}")
    unfinished.chmod(0o755)
    try:
        os.rename(unfinished, folder)
    except OSError:
        # Another synth was faster; what it installed is the same.
        shutil.rmtree(unfinished)
    return folder


def _wheels_for_lambda(runtime: lambda_.Runtime, *, arm: bool) -> list[str]:
    machine = "aarch64" if arm else "x86_64"
    platforms = [option for wheel in _WHEELS for option in ("--platform", f"{wheel}_{machine}")]
    return [*platforms, "--only-binary=:all:", "--python-version", runtime.name.removeprefix("python")]
