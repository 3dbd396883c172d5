"""StopRun: an execution has ended from outside."""

from typing import Any

from paytrain.control.environment import WorkerFunctions
from paytrain.control.stop_run import stop_run
from paytrain.observability import begin, logger

ENVIRONMENT = WorkerFunctions.read()


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """EventBridge's status change → ``{run_id, salvage}``."""
    begin({})
    result = stop_run(event, ENVIRONMENT)
    logger.info("stop_run", extra={"result": result})
    return result
