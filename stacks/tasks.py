"""Task states that invoke functions, and when they are retried."""

from collections.abc import Mapping
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as sfn_tasks
from constructs import Construct

_THROTTLED = ["Lambda.TooManyRequestsException"]
_WAKING = [
    "Lambda.CodeArtifactUserPendingException",
    "Lambda.ResourceNotReadyException",
    "Lambda.ResourceConflictException",
]
_SERVICE = [
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.ClientExecutionTimeoutException",
]
_LONGEST_DELAY = cdk.Duration.seconds(31)


def zip_task(
    scope: Construct, name: str, function: lambda_.Function, *, comment: str, payload: Mapping[str, Any] | None = None
) -> sfn_tasks.LambdaInvoke:
    """Return a state that runs a zip function; what the function returns is the state's output.

    Parameters
    ----------
    payload
        What the function is given; the state's whole input when absent.
    """
    task = sfn_tasks.LambdaInvoke(
        scope,
        name,
        comment=comment,
        lambda_function=function.current_version,
        payload=sfn.TaskInput.from_object(payload) if payload is not None else None,
        payload_response_only=True,
        retry_on_service_exceptions=False,
    )
    _retry_unstarted(task)
    _retry_unknown(task)
    return task


def worker_task(
    scope: Construct,
    name: str,
    *,
    comment: str,
    function: str,
    payload: Mapping[str, Any],
    repeatable: bool,
    **fields: Any,
) -> sfn.CustomState:
    """Return a state that runs the worker function whose ARN is in the state's input.

    Parameters
    ----------
    function
        JSONPath of the qualified ARN.
    payload
        As the Amazon States Language has it: keys that end with ``.$`` hold a JSONPath.
    repeatable
        Whether what it does may be done twice, so that an invocation whose end is unknown is repeated.
    fields
        Further fields of the state, such as ``OutputPath``.
    """
    state = {
        "Type": "Task",
        "Comment": comment,
        "Resource": f"arn:{cdk.Aws.PARTITION}:states:::lambda:invoke",
        "Parameters": {"FunctionName.$": function, "Payload": dict(payload)},
        **fields,
    }
    task = sfn.CustomState(scope, name, state_json=state)
    _retry_unstarted(task)
    if repeatable:
        _retry_unknown(task)
    return task


def _retry_unstarted(task: sfn_tasks.LambdaInvoke | sfn.CustomState) -> None:
    """Retry only what surely has not begun: a throttled call, and one of a function that was idle for weeks."""
    task.add_retry(**_retry(_THROTTLED, seconds=1, attempts=8))
    # Twenty times 15 seconds on average: such a function is ready again within minutes.
    task.add_retry(**_retry(_WAKING, seconds=30, attempts=20))


def _retry_unknown(task: sfn_tasks.LambdaInvoke | sfn.CustomState) -> None:
    """Retry when nobody can say whether the function has run: its work done twice must do no harm."""
    task.add_retry(**_retry(_SERVICE, seconds=2, attempts=6))


def _retry(errors: list[str], *, seconds: int, attempts: int) -> dict[str, Any]:
    return {
        "errors": errors,
        "interval": cdk.Duration.seconds(seconds),
        "backoff_rate": 2,
        "max_attempts": attempts,
        "max_delay": _LONGEST_DELAY,
        "jitter_strategy": sfn.JitterType.FULL,
    }
