"""The laptop twin: an AWS emulator and a memcached, on addresses of their own.

Run as ``python -m local.twin start|stop|status``; ``TWIN_PORT`` and ``TWIN_CACHE_HOST`` tell twins apart.
"""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import boto3
import click

from local import processes, servers
from local.terminal import LocalError, console, step

ROOT = Path(__file__).resolve().parents[1]
REGION = "us-east-1"

# The emulator takes these for the account's root user; functions get keys of their own roles.
_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


@dataclass(frozen=True)
class Twin:
    """One twin.

    Parameters
    ----------
    port
        Of the emulator, on 127.0.0.1.
    cache_host
        Loopback address of memcached.
    """

    port: int = 4566
    cache_host: str = "127.0.0.1"

    @classmethod
    def from_environment(cls) -> "Twin":
        """Read ``TWIN_PORT`` and ``TWIN_CACHE_HOST``."""
        port = os.environ.get("TWIN_PORT") or str(cls.port)
        if not port.isdecimal() or not 0 < int(port) < 65536:
            raise LocalError(f"TWIN_PORT = {port} is not allowed: it must be a port number.")
        return cls(int(port), os.environ.get("TWIN_CACHE_HOST") or cls.cache_host)

    @property
    def folder(self) -> Path:
        """Where it keeps its state and its logs."""
        return ROOT / "out" / "twin" / str(self.port)

    @property
    def endpoint(self) -> str:
        """URL of the emulator."""
        return f"http://{servers.HOST}:{self.port}"

    def environment(self) -> dict[str, str]:
        """Return this process' environment, pointed at the twin and at nothing else.

        The user's AWS profile, keys and proxies cannot lead a command to a real account.
        """
        direct = {name: f"{servers.HOST},{os.environ.get(name, '')}".rstrip(",") for name in ("NO_PROXY", "no_proxy")}
        return {
            **_without_aws(),
            **_CREDENTIALS,
            **direct,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def use(self) -> None:
        """Point every AWS client of this process, and of the programs it starts, at the running twin.

        Raises
        ------
        LocalError
            When it is not running.
        """
        if not self.is_running():
            raise LocalError(f"No twin is running on {self.endpoint}: start it with `make twin-start`.")
        environment = self.environment()
        os.environ.clear()
        os.environ.update(environment)
        # Boto3's own session may have read the user's credentials already.
        boto3.setup_default_session()

    def is_running(self) -> bool:
        """Whether both servers answer and are this twin's own."""
        return (
            bool(processes.marked(self.folder))
            and servers.emulator_answers(self.port)
            and servers.cache_answers(self.cache_host)
        )

    def start(self) -> None:
        """Start the twin afresh, with nothing deployed, unless it is running.

        Raises
        ------
        LocalError
            When an address is taken by another program, or a server does not start.
        """
        if self.is_running():
            return
        self.stop()
        environment = _without_aws()
        # A function that found the library in the checkout, and not in its layer, would hide a fault.
        environment.pop("PYTHONPATH", None)
        try:
            servers.start_cache(self.folder, self.cache_host)
            servers.start_emulator(self.folder, self.port, self.cache_host, environment)
        except LocalError:
            self.stop()
            raise

    def stop(self) -> int:
        """End every process of the twin and remove its state; the logs stay.

        Returns
        -------
        int
            How many processes were ended.
        """
        ended = processes.stop(self.folder)
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)
        for entry in self.folder.glob("*.json"):
            entry.unlink()
        return ended


def _without_aws() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}


@click.group()
def main() -> None:
    """Start and stop the laptop twin."""


@main.command()
def start() -> None:
    """Start the twin, or reuse the running one."""
    twin = Twin.from_environment()
    if twin.is_running():
        console.print(f"[green]✓[/] twin on {twin.endpoint} [dim]is running[/]")
        return
    with step(f"twin on {twin.endpoint}, memcached on {twin.cache_host}"):
        twin.start()


@main.command()
def stop() -> None:
    """Stop the twin and forget what is deployed in it."""
    twin = Twin.from_environment()
    ended = twin.stop()
    console.print(f"twin on {twin.endpoint}: {ended} processes stopped" if ended else "no twin is running")


@main.command()
def status() -> None:
    """Say whether the twin runs; the exit status is 0 if it does."""
    twin = Twin.from_environment()
    if not twin.is_running():
        console.print(f"no twin on {twin.endpoint}")
        sys.exit(1)
    console.print(f"twin on {twin.endpoint} is running, {len(processes.marked(twin.folder))} processes")


if __name__ == "__main__":
    main()
