"""OpenCache: looks whether the run's own Memcached cluster is available."""

from typing import Any

from paytrain.control.environment import CloseEnvironment
from paytrain.control.open_cache import open_cache
from paytrain.metering import FunctionMeter
from paytrain.observability import begin, logger

ENVIRONMENT = CloseEnvironment.read()
METER = FunctionMeter(ENVIRONMENT.run_table)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """The state machine's state → the same, with ``cache``."""
    begin(event)
    with METER.invocation("open_cache", event["run_id"], event, context):
        result = open_cache(event, ENVIRONMENT)
    logger.info("open_cache", extra={"cache": result["cache"]})
    return result
