"""The state machine: a relay of laps, and the way out of every failure."""

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_logs as logs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from stacks import permissions
from stacks.acknowledgements import acknowledge_wildcard
from stacks.functions import Functions
from stacks.gang import MAP_LABEL, gang
from stacks.tasks import worker_task, zip_task
from stacks.workers import Workers


class Workflow(Construct):
    """The state machine that users start, and the rule that notices when they stop it.

    Parameters
    ----------
    name
        Of the state machine, as people see it in the console.
    run_table
        To which a rank's failure is written.
    log_group
        Where Step Functions writes; without data, which is the users'.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        functions: Functions,
        workers: Workers,
        run_table: dynamodb.ITable,
        log_group: logs.ILogGroup,
    ) -> None:
        super().__init__(scope, construct_id)
        self.state_machine = sfn.StateMachine(
            self,
            "StateMachine",
            state_machine_name=name,
            comment="paytrain: trains a Keras model in laps of a gang of functions; {} trains the example",
            definition_body=sfn.DefinitionBody.from_chainable(self._definition(functions, run_table)),
            tracing_enabled=True,
            logs=sfn.LogOptions(destination=log_group, level=sfn.LogLevel.ALL, include_execution_data=False),
        )
        invoking = permissions.invoking(*functions.of_the_workflow(), *workers.all())
        self.state_machine.add_to_role_policy(invoking.statement())
        permissions.explain_wildcards(self.state_machine, invoking)
        acknowledge_wildcard(self.state_machine, "*", "Delivery of logs and X-Ray have no resources to name.")
        # CDK lets the Map's executions be watched, stopped and redriven, in a policy of its own.
        machine = cdk.Fn.select(6, cdk.Fn.split(":", self.state_machine.state_machine_arn))
        executions = f"arn:{cdk.Aws.PARTITION}:states:{cdk.Aws.REGION}:{cdk.Aws.ACCOUNT_ID}:execution:{machine}"
        for pattern in (f"{executions}:*", f"{executions}/{MAP_LABEL}:*"):
            acknowledge_wildcard(self.state_machine, pattern, "The executions of this state machine itself.")
        events.Rule(
            self,
            "Ended",
            description="Executions that ended without reaching their last state: mark the run, save its model",
            event_pattern=events.EventPattern(
                source=["aws.states"],
                detail_type=["Step Functions Execution Status Change"],
                detail={
                    "stateMachineArn": [self.state_machine.state_machine_arn],
                    "status": ["ABORTED", "TIMED_OUT", "FAILED"],
                },
            ),
            targets=[targets.LambdaFunction(functions.stop_run)],
        )

    def _definition(self, functions: Functions, run_table: dynamodb.ITable) -> sfn.IChainable:
        explain, salvage = self._way_out(functions)

        read_input = sfn.Pass(
            self,
            "ReadInput",
            comment="Whatever the input is, what follows has an object to note a failure in",
            parameters={"input": sfn.JsonPath.entire_payload},
        )
        resolve = zip_task(
            self,
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
            self,
            "Prepare",
            comment="Looks at model and data, writes checkpoint 0, times a few steps",
            function="$.single_function",
            payload={"action": "prepare", "run_id.$": "$.run_id"},
            ResultPath=sfn.JsonPath.DISCARD,
        )
        plan = zip_task(
            self,
            "Plan",
            functions.plan,
            comment="Chooses what the job left to auto",
            payload={"run_id": sfn.JsonPath.string_at("$.run_id")},
        )
        lap = gang(self, run_table=run_table)
        close_lap = zip_task(
            self, "CloseLap", functions.close_lap, comment="Reads how the ranks ended and decides how the run goes on"
        )
        finish = worker_task(
            self,
            "Finish",
            comment="Exports and evaluates the model, writes history and receipt",
            function="$.single_function",
            payload={"action": "finish", "run_id.$": "$.run_id"},
            OutputPath="$.Payload",
        )
        how_to_go_on = (
            sfn.Choice(self, "HowToGoOn", comment="Another lap, the same again, or the end")
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
        finish.next(sfn.Succeed(self, "Finished"))
        return read_input.next(resolve).next(prepare).next(plan).next(lap).next(close_lap).next(how_to_go_on)

    def _way_out(self, functions: Functions) -> tuple[sfn.IChainable, sfn.IChainable]:
        failed = sfn.Fail(
            self, "Failed", comment="With the cause in a sentence", error_path="$.error", cause_path="$.cause"
        )
        salvage = worker_task(
            self,
            "Salvage",
            comment="Exports the model of the last checkpoint and writes the receipt: money spent leaves a model",
            function="$.single_function",
            payload={"action": "finish", "run_id.$": "$.run_id", "error.$": "$.error", "cause.$": "$.cause"},
            ResultPath=sfn.JsonPath.DISCARD,
        )
        salvage.add_catch(failed, errors=["States.ALL"], result_path="$.failure")
        salvage.next(failed)
        explain = zip_task(
            self,
            "Explain",
            functions.explain,
            comment="Finds the sentence that says what went wrong, and whether there is a model to save",
            payload={
                "state": sfn.JsonPath.object_at("$"),
                "execution": sfn.JsonPath.string_at("$$.Execution.Name"),
            },
        )
        unexplained = sfn.Fail(
            self,
            "Unexplained",
            comment="Not even the explanation worked",
            error="Unexplained",
            cause="The run failed and so did its explanation; the history and the logs of explain say more.",
        )
        explain.add_catch(unexplained, errors=["States.ALL"], result_path="$.unexplained")
        explain.next(
            sfn.Choice(self, "IsThereAModel", comment="Before the first checkpoint there is nothing to save")
            .when(sfn.Condition.boolean_equals("$.salvage", True), salvage)
            .otherwise(failed)
        )
        return explain, salvage
