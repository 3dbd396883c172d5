"""The worker: Prepare, one rank of a lap, or Finish. TensorFlow is imported while the sandbox starts."""

from typing import Any

from paytrain.observability import begin, logger
from paytrain.training.environment import WorkerEnvironment
from paytrain.training.finish import finish
from paytrain.training.lap import run_lap
from paytrain.training.loop import Invocation
from paytrain.training.prepare import prepare
from paytrain.training.trainer import configure_tensorflow

ENVIRONMENT = WorkerEnvironment.read()
configure_tensorflow(ENVIRONMENT.threads)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """``{action, run_id, ...}`` → a few bytes; results go to S3 and the run table."""
    begin(event)

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
            )
            logger.info("lap ended", extra={"outcome": outcome.model_dump()})
            return {"status": outcome.status}
        case "finish":
            failure = {"error": event["error"], "cause": event["cause"]} if "error" in event else None
            return finish(event["run_id"], ENVIRONMENT, failure, seconds_left)
        case action:
            raise ValueError(f'action = "{action}" is not allowed: it must be prepare, lap or finish.')
