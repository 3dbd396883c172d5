"""The states of the workflow: a relay of laps, and the way out of every failure."""

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from stacks.functions import Functions
from stacks.gang import gang
from stacks.tasks import worker_task, zip_task


def definition(scope: Construct, *, functions: Functions, run_table: dynamodb.ITable) -> sfn.IChainable:
    """Return the first state, with all that follow.

    Parameters
    ----------
    scope
        Under which the states are made; state names are unique within it.
    functions
        The zip functions; which worker function runs a state is in the state's input.
    run_table
        To which a rank's failure is written.
    """
    explain, salvage = _way_out(scope, functions)

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
    lap = gang(scope, run_table=run_table)
    close_lap = zip_task(
        scope, "CloseLap", functions.close_lap, comment="Reads how the ranks ended and decides how the run goes on"
    )
    finish = worker_task(
        scope,
        "Finish",
        comment="Exports and evaluates the model, writes history and receipt",
        function="$.single_function",
        payload={"action": "finish", "run_id.$": "$.run_id"},
        OutputPath="$.Payload",
    )
    how_to_go_on = (
        sfn.Choice(scope, "HowToGoOn", comment="Another lap, the same again, or the end")
        .when(
            sfn.Condition.or_(
                sfn.Condition.string_equals("$.next", "continue"), sfn.Condition.string_equals("$.next", "retry")
            ),
            lap,
        )
        .when(sfn.Condition.string_equals("$.next", "finished"), finish)
        .otherwise(salvage)
    )
    for state in (resolve, prepare, plan, lap, close_lap, finish):
        state.add_catch(explain, errors=["States.ALL"], result_path="$.failure")
    finish.next(sfn.Succeed(scope, "Finished"))
    return read_input.next(resolve).next(prepare).next(plan).next(lap).next(close_lap).next(how_to_go_on)


def _way_out(scope: Construct, functions: Functions) -> tuple[sfn.IChainable, sfn.IChainable]:
    failed = sfn.Fail(
        scope, "Failed", comment="With the cause in a sentence", error_path="$.error", cause_path="$.cause"
    )
    salvage = worker_task(
        scope,
        "Salvage",
        comment="Exports the model of the last checkpoint and writes the receipt: money spent leaves a model",
        function="$.single_function",
        payload={"action": "finish", "run_id.$": "$.run_id", "error.$": "$.error", "cause.$": "$.cause"},
        ResultPath=sfn.JsonPath.DISCARD,
    )
    salvage.add_catch(failed, errors=["States.ALL"], result_path="$.failure")
    salvage.next(failed)
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
    unexplained = sfn.Fail(
        scope,
        "Unexplained",
        comment="Not even the explanation worked",
        error="Unexplained",
        cause="The run failed and so did its explanation; the history and the logs of explain say more.",
    )
    explain.add_catch(unexplained, errors=["States.ALL"], result_path="$.unexplained")
    explain.next(
        sfn.Choice(scope, "IsThereAModel", comment="Before the first checkpoint there is nothing to save")
        .when(sfn.Condition.boolean_equals("$.salvage", True), salvage)
        .otherwise(failed)
    )
    return explain, salvage
