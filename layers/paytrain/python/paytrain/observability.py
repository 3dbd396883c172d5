"""One logger for all functions: structured lines that carry run, lap, attempt and rank."""

from typing import Any

from aws_lambda_powertools import Logger

logger = Logger(service="paytrain")

_CARRIED = ("run_id", "lap", "attempt", "rank", "action")


def begin(event: dict[str, Any]) -> None:
    """Let all lines of this invocation say which part of which run they belong to."""
    logger.structure_logs(append=False, **{key: event[key] for key in _CARRIED if key in event})
