"""Explain: says in one sentence why a run has failed."""

from typing import Any

from paytrain.control.environment import CloseEnvironment
from paytrain.control.explain import explain
from paytrain.observability import begin, logger

ENVIRONMENT = CloseEnvironment.read()


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """``{state, execution}`` → ``{run_id, single_function, salvage, error, cause}``."""
    begin(event)
    result = explain(event, ENVIRONMENT)
    logger.info("explain", extra={"result": result})
    return result
