"""SweepCaches: deletes the clusters that ended runs have left."""

from typing import Any

from paytrain.control.environment import SweepEnvironment
from paytrain.control.sweep_caches import sweep_caches
from paytrain.observability import begin, logger

ENVIRONMENT = SweepEnvironment.read()


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """EventBridge's status change or schedule → ``{deleted, left}``."""
    begin({})
    result = sweep_caches(event, ENVIRONMENT, lambda: float(context.get_remaining_time_in_millis()) / 1000)
    logger.info("sweep_caches", extra={"result": result})
    return result
