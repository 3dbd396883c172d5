"""Resolve: validates the execution input and merges the defaults, before anything is spent."""

from typing import Any

from paytrain.control.environment import ResolveEnvironment
from paytrain.control.resolve import resolve
from paytrain.observability import begin, logger

ENVIRONMENT = ResolveEnvironment.read()


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """``{input, execution, execution_arn, started}`` → ``{run_id, single_function}``."""
    begin({})
    result = resolve(event, ENVIRONMENT)
    logger.info("resolve", extra={"result": result})
    return result
