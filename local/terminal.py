"""How the commands talk to the person at the terminal."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console

console = Console(highlight=False)


class LocalError(click.ClickException):
    """Something on this machine has to be put right; the message says what."""


@contextmanager
def step(title: str) -> Iterator[None]:
    """Show a step while it runs, and one line with its duration when it is done."""
    began = time.monotonic()
    with console.status(title):
        yield
    console.print(f"[green]✓[/] {title} [dim]{time.monotonic() - began:.1f} s[/]")


def log_tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of a log that are not blank."""
    text = log.read_text(errors="replace") if log.is_file() else ""
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])
