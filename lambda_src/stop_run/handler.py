"""StopRun: an execution has ended from outside."""

from typing import Any

from paytrain.control.environment import WorkerFunctions
from paytrain.control.stop_run import stop_run
from paytrain.metering import FunctionMeter
from paytrain.observability import begin, logger
from paytrain.run import run_id_of

ENVIRONMENT = WorkerFunctions.read()
METER = FunctionMeter(ENVIRONMENT.run_table)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """EventBridge's status change → ``{run_id, salvage}``."""
    begin({})
    with METER.invocation("stop_run", run_id_of(event["detail"]["name"]), event, context):
        result = stop_run(event, ENVIRONMENT)
    logger.info("stop_run", extra={"result": result})
    return result
