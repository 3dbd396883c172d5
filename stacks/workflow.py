"""The state machine, what it may do, and who notices when it is stopped."""

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from stacks import permissions
from stacks.acknowledgements import acknowledge_wildcard
from stacks.cache import Cache
from stacks.definition import definition
from stacks.functions import Functions
from stacks.gang import MAP_LABEL
from stacks.run_cache import making
from stacks.workers import Workers


class Workflow(Construct):
    """The state machine that users start, and the rule that notices when they stop it.

    Parameters
    ----------
    name
        Of the state machine, as people see it in the console.
    run_table
        To which a rank's failure is written.
    max_workers
        How many ranks run at once; all of a gang must, or it waits for itself.
    topic
        To which the end of a run is published, if there is one.
    cache
        Where runs make clusters of their own, if they do.
    cache_endpoint, cache_item_bytes
        Of the provisioned cluster; empty without one.
    express_bucket
        The directory bucket; likewise.
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
        max_workers: int,
        log_group: logs.ILogGroup,
        topic: sns.ITopic | None,
        cache: Cache | None,
        cache_endpoint: str,
        cache_item_bytes: int,
        express_bucket: str,
    ) -> None:
        super().__init__(scope, construct_id)
        self.state_machine = sfn.StateMachine(
            self,
            "StateMachine",
            state_machine_name=name,
            comment="paytrain: trains a Keras model in laps of a gang of functions; {} trains the example",
            definition_body=sfn.DefinitionBody.from_chainable(
                definition(
                    self,
                    functions=functions,
                    run_table=run_table,
                    max_workers=max_workers,
                    topic=topic,
                    cache=cache,
                    cache_endpoint=cache_endpoint,
                    cache_item_bytes=cache_item_bytes,
                    express_bucket=express_bucket,
                )
            ),
            tracing_enabled=True,
            logs=sfn.LogOptions(destination=log_group, level=sfn.LogLevel.ALL, include_execution_data=False),
        )
        invoking = permissions.invoking(*functions.of_the_workflow(), *workers.all())
        self.state_machine.add_to_role_policy(invoking.statement())
        permissions.explain_wildcards(self.state_machine, invoking)
        if topic is not None:
            self.state_machine.add_to_role_policy(
                permissions.Permission(["sns:Publish"], [topic.topic_arn]).statement()
            )
        for permission in making(cache) if cache is not None else []:
            self.state_machine.add_to_role_policy(permission.statement())
            permissions.explain_wildcards(self.state_machine, permission)
        acknowledge_wildcard(self.state_machine, "*", "Delivery of logs, X-Ray and subnets have no resources to name.")
        # CDK lets the Map's executions be watched, stopped and redriven, in a policy of its own.
        machine = cdk.Fn.select(6, cdk.Fn.split(":", self.state_machine.state_machine_arn))
        executions = f"arn:{cdk.Aws.PARTITION}:states:{cdk.Aws.REGION}:{cdk.Aws.ACCOUNT_ID}:execution:{machine}"
        for pattern in (f"{executions}:*", f"{executions}/{MAP_LABEL}:*"):
            acknowledge_wildcard(self.state_machine, pattern, "The executions of this state machine itself.")
        ended = events.Rule(
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
        if functions.sweep_caches is not None:
            sweep = targets.LambdaFunction(functions.sweep_caches)
            ended.add_target(sweep)
            events.Rule(
                self,
                "Hourly",
                description="Caches of runs that have ended, and that nothing else has deleted",
                schedule=events.Schedule.rate(cdk.Duration.hours(1)),
                targets=[sweep],
            )
