"""CloseLap: decides from all ranks' outcomes what comes next."""

from typing import Any

from paytrain.control.close_lap import close_lap
from paytrain.control.environment import CloseEnvironment
from paytrain.metering import FunctionMeter
from paytrain.observability import begin, logger

ENVIRONMENT = CloseEnvironment.read()
METER = FunctionMeter(ENVIRONMENT.run_table)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """The state machine's state → its next state, with ``next``."""
    begin(event)
    with METER.invocation("close_lap", event["run_id"], event, context) as spending:
        result = close_lap(event, ENVIRONMENT, spending)
    logger.info("close_lap", extra={"result": result})
    return result
