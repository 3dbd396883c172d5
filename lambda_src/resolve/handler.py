"""Resolve: validates the execution input and merges the defaults, before anything is spent."""

from typing import Any

from paytrain.control.environment import ResolveEnvironment
from paytrain.control.resolve import resolve
from paytrain.metering import FunctionMeter
from paytrain.observability import begin, logger
from paytrain.run import run_id_of

ENVIRONMENT = ResolveEnvironment.read()
METER = FunctionMeter(ENVIRONMENT.run_table)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """``{input, execution, execution_arn, started}`` → ``{run_id, single_function}``."""
    begin({})
    with METER.invocation("resolve", run_id_of(event["execution"]), event, context):
        result = resolve(event, ENVIRONMENT)
    logger.info("resolve", extra={"result": result})
    return result
