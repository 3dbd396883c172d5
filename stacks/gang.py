"""The gang of a lap: one child execution per rank, which says itself how it ended."""

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as sfn_tasks
from constructs import Construct

from stacks.storage import TTL_ATTRIBUTE
from stacks.tasks import worker_task

MAP_LABEL = "ranks"
"""Part of the ARNs of the ranks' executions."""

_OUTCOME = "outcome#{}#{}#{}"
_ABORT = "abort#{}#{}"
_BY = r'\{"rank": {}\}'


def gang(scope: Construct, *, run_table: dynamodb.ITable, max_workers: int) -> sfn.DistributedMap:
    """Return the state that runs all ranks of an attempt and ends when the last of them has ended.

    Its children never fail it: a rank without an outcome in the run table counts as lost. All ranks must run at once,
    or the gang waits for itself: no run has more than ``max_workers``.
    """
    children = sfn.DistributedMap(
        scope,
        "Lap",
        comment="All ranks at once, each in one invocation of a worker",
        items_path="$.ranks",
        item_selector={
            "run_id": sfn.JsonPath.string_at("$.run_id"),
            "lap": sfn.JsonPath.string_at("$.lap"),
            "attempt": sfn.JsonPath.string_at("$.attempt"),
            "function": sfn.JsonPath.string_at("$.function"),
            "expires_at": sfn.JsonPath.string_at("$.expires_at"),
            "rank": sfn.JsonPath.string_at("$$.Map.Item.Value"),
        },
        max_concurrency=max_workers,
        tolerated_failure_percentage=100,
        map_execution_type=sfn.StateMachineType.STANDARD,
        label=MAP_LABEL,
        result_path=sfn.JsonPath.DISCARD,
    )
    return children.item_processor(_rank(scope, run_table))


def _rank(scope: Construct, run_table: dynamodb.ITable) -> sfn.IChainable:
    train = worker_task(
        scope,
        "Train",
        comment="One rank of the lap; its results are in the run table and in S3",
        function="$.function",
        # A worker that may have begun is the relay's business: CloseLap decides.
        repeatable=False,
        payload={
            "action": "lap",
            "run_id.$": "$.run_id",
            "lap.$": "$.lap",
            "attempt.$": "$.attempt",
            "rank.$": "$.rank",
        },
        # The results of a thousand ranks together must stay under 256 KiB.
        ResultSelector={"status.$": "$.StatusCode"},
    )
    record_failure = _put(
        scope,
        "RecordFailure",
        run_table,
        comment="A worker that was killed cannot say so itself; one that could has said it already",
        key=sfn.JsonPath.format(_OUTCOME, *_paths("lap", "attempt", "rank")),
        attributes={
            "error": sfn.JsonPath.string_at("$.failure.Error"),
            "cause": sfn.JsonPath.string_at("$.failure.Cause"),
        },
        only_if_new=True,
        result_path=sfn.JsonPath.DISCARD,
    )
    mark_aborted = _put(
        scope,
        "MarkAborted",
        run_table,
        comment="Tells the other ranks to leave",
        key=sfn.JsonPath.format(_ABORT, *_paths("lap", "attempt")),
        attributes={"record": sfn.JsonPath.format(_BY, *_paths("rank"))},
        only_if_new=False,
        result_selector={"status": "failed"},
    )
    train.add_catch(record_failure, errors=["States.ALL"], result_path="$.failure")
    record_failure.add_catch(mark_aborted, errors=["States.ALL"], result_path="$.unrecorded")
    record_failure.next(mark_aborted)
    return train


def _put(
    scope: Construct,
    name: str,
    table: dynamodb.ITable,
    *,
    comment: str,
    key: str,
    attributes: dict[str, str],
    only_if_new: bool,
    result_path: str | None = None,
    result_selector: dict[str, str] | None = None,
) -> sfn_tasks.DynamoPutItem:
    text = sfn_tasks.DynamoAttributeValue.from_string
    texts = {"run_id": sfn.JsonPath.string_at("$.run_id"), "item": key, **attributes}
    expires = sfn_tasks.DynamoAttributeValue.number_from_string(sfn.JsonPath.string_at("$.expires_at"))
    put = sfn_tasks.DynamoPutItem(
        scope,
        name,
        comment=comment,
        table=table,
        item={**{name: text(value) for name, value in texts.items()}, TTL_ATTRIBUTE: expires},
        condition_expression="attribute_not_exists(run_id)" if only_if_new else None,
        result_path=result_path,
        result_selector=result_selector,
    )
    put.add_retry(errors=["DynamoDB.ConditionalCheckFailedException"], max_attempts=0)
    put.add_retry(
        errors=["States.TaskFailed"],
        interval=cdk.Duration.seconds(1),
        backoff_rate=2,
        max_attempts=5,
        jitter_strategy=sfn.JitterType.FULL,
    )
    return put


def _paths(*names: str) -> list[str]:
    return [sfn.JsonPath.string_at(f"$.{name}") for name in names]
