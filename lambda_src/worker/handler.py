"""The worker: Prepare, one rank of a lap, Finish, or a calibration. TensorFlow is imported while the sandbox starts."""

from typing import Any

from paytrain.cold_start import quick_imports
from paytrain.metering import FunctionMeter, Spending
from paytrain.observability import begin, logger
from paytrain.training.environment import WorkerEnvironment

# Before TensorFlow, so that a wrong environment is refused at once.
ENVIRONMENT = WorkerEnvironment.read()

with quick_imports():
    from paytrain.calibration import calibrate
    from paytrain.planner.profile import KEY
    from paytrain.store import Artifacts
    from paytrain.training.finish import finish
    from paytrain.training.lap import run_lap
    from paytrain.training.loop import Invocation
    from paytrain.training.prepare import prepare
    from paytrain.training.trainer import configure_tensorflow

configure_tensorflow(ENVIRONMENT.threads)
METER = FunctionMeter(ENVIRONMENT.run_table)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """``{action, run_id, ...}`` → a few bytes; results go to S3 and the run table."""
    begin(event)
    with METER.invocation(event["action"], event["run_id"], event, context) as spending:
        return _act(event, context, spending)


def _act(event: dict[str, Any], context: Any, spending: Spending) -> dict[str, Any]:
    def seconds_left() -> float:
        return float(context.get_remaining_time_in_millis()) / 1000

    match event["action"]:
        case "prepare":
            prepared = prepare(event["run_id"], ENVIRONMENT)
            return {"parameters": prepared.parameters, "samples": prepared.samples}
        case "lap":
            outcome = run_lap(
                Invocation(
                    run_id=event["run_id"],
                    lap=event["lap"],
                    attempt=event["attempt"],
                    rank=event["rank"],
                    seconds_left=seconds_left,
                ),
                ENVIRONMENT,
                spending,
            )
            logger.info("lap ended", extra={"outcome": outcome.model_dump()})
            return {"status": outcome.status}
        case "finish":
            failure = {"error": event["error"], "cause": event["cause"]} if "error" in event else None
            return finish(event["run_id"], ENVIRONMENT, failure, seconds_left, spending)
        case "calibrate":
            found = calibrate(
                event["run_id"],
                event["channels"],
                artifacts=Artifacts(ENVIRONMENT.artifacts_bucket),
                exchange_bucket=ENVIRONMENT.exchange_bucket,
                exchange_table=ENVIRONMENT.exchange_table,
                cache_endpoint=event.get("cache_endpoint", ""),
                cache_item_bytes=event.get("cache_item_bytes", 0),
                express_bucket=event.get("express_bucket", ""),
            )
            return {"profile": f"s3://{ENVIRONMENT.artifacts_bucket}/{KEY}", "measured": list(found.meta.measured)}
        case action:
            raise ValueError(f'action = "{action}" is not allowed: it must be prepare, lap, finish or calibrate.')
