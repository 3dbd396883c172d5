"""Explain: says in one sentence why a run has failed."""

from typing import Any

from paytrain.control.environment import CloseEnvironment
from paytrain.control.explain import explain
from paytrain.metering import FunctionMeter
from paytrain.observability import begin, logger
from paytrain.run import run_id_of

ENVIRONMENT = CloseEnvironment.read()
METER = FunctionMeter(ENVIRONMENT.run_table)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """``{state, execution}`` → ``{run_id, single_function, salvage, error, cause}``."""
    begin(event)
    with METER.invocation("explain", run_id_of(event["execution"]), event, context):
        result = explain(event, ENVIRONMENT)
    logger.info("explain", extra={"result": result})
    return result
