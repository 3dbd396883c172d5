"""Plan: chooses what the job left open."""

from typing import Any

from paytrain.control.environment import PlanEnvironment
from paytrain.control.plan import plan_run
from paytrain.metering import FunctionMeter
from paytrain.observability import begin, logger

ENVIRONMENT = PlanEnvironment.read()
METER = FunctionMeter(ENVIRONMENT.run_table)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """``{run_id}`` → the state machine's state."""
    begin(event)
    with METER.invocation("plan", event["run_id"], event, context) as spending:
        result = plan_run(event["run_id"], ENVIRONMENT, spending)
    logger.info("plan", extra={"result": result})
    return result
