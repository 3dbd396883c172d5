"""The states of the workflow: a relay of laps, and the way out of every failure."""

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_sns as sns
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from stacks.cache import Cache
from stacks.calibration import calibration
from stacks.functions import Functions
from stacks.gang import gang
from stacks.notification import notify
from stacks.run_cache import HAS_CACHE, close_cache, open_cache
from stacks.tasks import worker_task, zip_task


def definition(
    scope: Construct,
    *,
    functions: Functions,
    run_table: dynamodb.ITable,
    max_workers: int,
    topic: sns.ITopic | None,
    cache: Cache | None,
    cache_endpoint: str,
    cache_item_bytes: int,
    express_bucket: str,
) -> sfn.IChainable:
    """Return the first state, with all that follow.

    Parameters
    ----------
    scope
        Under which the states are made; state names are unique within it.
    functions
        The zip functions; which worker function runs a state is in the state's input.
    run_table
        To which a rank's failure is written.
    max_workers
        How many ranks run at once.
    topic
        To which the end of a run is published, if there is one.
    cache
        Where runs make clusters of their own, if they do.
    cache_endpoint, cache_item_bytes
        Of the provisioned cluster, which a calibration measures; empty without one.
    express_bucket
        The directory bucket, likewise.
    """
    explain, salvage, close_failed = _way_out(scope, functions, topic, has_cache=cache is not None)

    read_input = sfn.Pass(
        scope,
        "ReadInput",
        comment="Whatever the input is, what follows has an object to note a failure in",
        parameters={"input": sfn.JsonPath.entire_payload},
    )
    resolve = zip_task(
        scope,
        "Resolve",
        functions.resolve,
        comment="Validates the job and merges it with the defaults",
        payload={
            "input": sfn.JsonPath.object_at("$.input"),
            "execution": sfn.JsonPath.string_at("$$.Execution.Name"),
            "execution_arn": sfn.JsonPath.string_at("$$.Execution.Id"),
            "started": sfn.JsonPath.string_at("$$.Execution.StartTime"),
        },
    )
    prepare = worker_task(
        scope,
        "Prepare",
        comment="Looks at model and data, writes checkpoint 0, times a few steps",
        function="$.single_function",
        repeatable=True,
        payload={"action": "prepare", "run_id.$": "$.run_id"},
        ResultPath=sfn.JsonPath.DISCARD,
    )
    plan = zip_task(
        scope,
        "Plan",
        functions.plan,
        comment="Chooses what the job left to auto",
        payload={"run_id": sfn.JsonPath.string_at("$.run_id")},
    )
    lap = gang(scope, run_table=run_table, max_workers=max_workers)
    close_lap = zip_task(
        scope, "CloseLap", functions.close_lap, comment="Reads how the ranks ended and decides how the run goes on"
    )
    finish = worker_task(
        scope,
        "Finish",
        comment="Exports and evaluates the model, writes history and receipt",
        function="$.single_function",
        repeatable=True,
        payload={"action": "finish", "run_id.$": "$.run_id"},
        OutputPath="$.Payload",
    )
    measure = calibration(
        scope,
        cache_endpoint=cache_endpoint,
        cache_item_bytes=cache_item_bytes,
        express_bucket=express_bucket,
        otherwise=explain,
    )
    what = (
        sfn.Choice(scope, "IsCalibration", comment="Measures the services in place of a run, when asked to")
        .when(sfn.Condition.boolean_equals("$.calibrate", True), measure)
        .otherwise(prepare)
    )
    how_to_go_on = sfn.Choice(scope, "HowToGoOn", comment="Another lap, the same again, or the end").when(
        sfn.Condition.or_(
            sfn.Condition.string_equals("$.next", "continue"), sfn.Condition.string_equals("$.next", "retry")
        ),
        lap,
    )
    first: sfn.IChainable = lap
    is_finished = sfn.Condition.string_equals("$.next", "finished")
    if cache is not None:
        assert functions.open_cache is not None
        first = open_cache(scope, cache=cache, look_with=functions.open_cache, then=lap, otherwise=explain)
        # Before Finish: only workers need the cache, and it is paid for as long as it is there.
        closed = close_cache(scope, "CloseCache", then=finish)
        how_to_go_on.when(sfn.Condition.and_(is_finished, HAS_CACHE), closed)
    how_to_go_on.when(is_finished, finish)
    if close_failed is not None:
        how_to_go_on.when(HAS_CACHE, close_failed)
    how_to_go_on.otherwise(salvage)
    for state in (resolve, prepare, plan, lap, close_lap, finish):
        state.add_catch(explain, errors=["States.ALL"], result_path="$.failure")
    finish.next(
        notify(
            scope,
            "NotifySuccess",
            topic,
            comment="Tells that there is a model, and what it cost",
            status="succeeded",
            text="Run {} ended as {}. It cost {} dollars at list prices. Model: {}",
            values=["$.run_id", "$.status", "$.usd", "$.model"],
            then=sfn.Succeed(scope, "Finished"),
        )
    )
    prepare.next(plan).next(first)
    lap.next(close_lap).next(how_to_go_on)
    return read_input.next(resolve).next(what)


def _way_out(
    scope: Construct, functions: Functions, topic: sns.ITopic | None, *, has_cache: bool
) -> tuple[sfn.IChainable, sfn.IChainable, sfn.IChainable | None]:
    """The states that explain, that save the model, and that close a run's own cache before they do so."""
    failed = sfn.Fail(
        scope, "Failed", comment="With the cause in a sentence", error_path="$.error", cause_path="$.cause"
    )
    notify_failure = notify(
        scope,
        "NotifyFailure",
        topic,
        comment="Tells why there is no model",
        status="failed",
        text="Run {} failed ({}) and left no model: {}",
        values=["$.run_id", "$.error", "$.cause"],
        then=failed,
    )
    notify_salvaged = notify(
        scope,
        "NotifySalvaged",
        topic,
        comment="Tells why the run failed, what it cost, and where its model of the last checkpoint is",
        status="failed",
        text="Run {} failed ({}): {} It cost {} dollars at list prices. Model of the last checkpoint: {}",
        values=["$.run_id", "$.error", "$.cause", "$.salvaged.summary.usd", "$.salvaged.summary.model"],
        then=failed,
    )
    salvage = worker_task(
        scope,
        "Salvage",
        comment="Exports the model of the last checkpoint and writes the receipt: money spent leaves a model",
        function="$.single_function",
        repeatable=True,
        payload={"action": "finish", "run_id.$": "$.run_id", "error.$": "$.error", "cause.$": "$.cause"},
        ResultSelector={"summary.$": "$.Payload"},
        ResultPath="$.salvaged",
    )
    salvage.add_catch(notify_failure, errors=["States.ALL"], result_path="$.failure")
    salvage.next(notify_salvaged)
    explain = zip_task(
        scope,
        "Explain",
        functions.explain,
        comment="Finds the sentence that says what went wrong, and whether there is a model to save",
        payload={
            "state": sfn.JsonPath.object_at("$"),
            "execution": sfn.JsonPath.string_at("$$.Execution.Name"),
        },
    )
    unexplained = sfn.Pass(
        scope,
        "Unexplained",
        comment="Not even the explanation worked",
        parameters={
            "run_id": sfn.JsonPath.string_at("$$.Execution.Name"),
            "error": "Unexplained",
            "cause": "The run failed and so did its explanation; the history and the logs of explain say more.",
        },
    )
    unexplained.next(notify_failure)
    explain.add_catch(unexplained, errors=["States.ALL"], result_path="$.unexplained")
    is_there_a_model = sfn.Choice(
        scope, "IsThereAModel", comment="Before the first checkpoint there is nothing to save"
    )
    is_saved = sfn.Condition.boolean_equals("$.salvage", True)
    close_failed = None
    if has_cache:
        close_failed = close_cache(scope, "CloseCacheOfFailure", then=salvage)
        is_there_a_model.when(sfn.Condition.and_(is_saved, HAS_CACHE), close_failed)
    explain.next(is_there_a_model.when(is_saved, salvage).otherwise(notify_failure))
    return explain, salvage, close_failed
