"""Plan: chooses what the job left open."""

from typing import Any

from paytrain.control.environment import PlanEnvironment
from paytrain.control.plan import plan_run
from paytrain.observability import begin, logger

ENVIRONMENT = PlanEnvironment.read()


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """``{run_id}`` → the state machine's state."""
    begin(event)
    result = plan_run(event["run_id"], ENVIRONMENT)
    logger.info("plan", extra={"result": result})
    return result
