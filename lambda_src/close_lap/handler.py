"""CloseLap: decides from all ranks' outcomes what comes next."""

from typing import Any

from paytrain.control.close_lap import close_lap
from paytrain.control.environment import CloseEnvironment
from paytrain.observability import begin, logger

ENVIRONMENT = CloseEnvironment.read()


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """The state machine's state → its next state, with ``next``."""
    begin(event)
    result = close_lap(event, ENVIRONMENT)
    logger.info("close_lap", extra={"result": result})
    return result
