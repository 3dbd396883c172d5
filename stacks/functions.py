"""The zip functions: short tasks between laps, each with a role that allows what it does."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from stacks import permissions
from stacks.acknowledgements import acknowledge
from stacks.layers import ROOT
from stacks.monitoring import Monitoring
from stacks.storage import Storage
from stacks.workers import Workers, published

_MEMORY_MB = 512
_TIMEOUT = cdk.Duration.seconds(60)


class Functions(Construct):
    """``resolve``, ``plan``, ``close_lap``, ``explain`` and ``stop_run``.

    Parameters
    ----------
    environment
        Variables of every function.
    limits
        Variables of ``plan``: timeouts and attempts.
    cache_endpoint, cache_item_bytes
        Of the Memcached cluster; empty and 0 without one.
    job_defaults
        The job that ``{}`` runs.
    data_buckets
        Names of the buckets, besides the stack's own, from which models and data may come.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        runtime: lambda_.Runtime,
        layers: Sequence[lambda_.ILayerVersion],
        arm: bool,
        environment: Mapping[str, str],
        storage: Storage,
        workers: Workers,
        monitoring: Monitoring,
        limits: Mapping[str, str],
        cache_endpoint: str,
        cache_item_bytes: int,
        job_defaults: Mapping[str, Any],
        data_buckets: Sequence[str],
    ) -> None:
        super().__init__(scope, construct_id)
        self._runtime = runtime
        self._layers = layers
        self._architecture = lambda_.Architecture.ARM_64 if arm else lambda_.Architecture.X86_64
        self._monitoring = monitoring
        artifacts, table = storage.artifacts, storage.run_table
        self._environment = {
            **environment,
            "RUN_TABLE": table.table_name,
            "ARTIFACTS_BUCKET": artifacts.bucket_name,
        }
        worker_functions = {"WORKER_FUNCTIONS": cdk.Stack.of(self).to_json_string(workers.versions())}
        runs_objects = permissions.on_objects(artifacts, permissions.RUNS, "GetObject", "PutObject")
        listed = permissions.listing(artifacts.bucket_arn)

        self.resolve = self._function(
            "resolve",
            "validates the job",
            {
                **worker_functions,
                "JOB_DEFAULTS": json.dumps(job_defaults, separators=(",", ":")),
                "EXAMPLES": cdk.Stack.of(self).to_json_string(storage.example_uris()),
                "DATA_BUCKETS": json.dumps(list(data_buckets)),
            },
            [
                permissions.on_table(table, "PutItem"),
                permissions.on_objects(artifacts, permissions.RUNS, "PutObject"),
                permissions.Permission(["lambda:GetAccountSettings"], ["*"]),
            ],
        )
        self.plan = self._function(
            "plan",
            "chooses what the job left open",
            {
                **worker_functions,
                **limits,
                "CACHE_ENDPOINT": cache_endpoint,
                "CACHE_ITEM_BYTES": str(cache_item_bytes),
            },
            [permissions.on_table(table, "PutItem"), runs_objects],
        )
        self.close_lap = self._function(
            "close_lap",
            "decides how a run goes on",
            {},
            [
                permissions.on_table(table, "GetItem", "PutItem", "Query"),
                permissions.on_objects(artifacts, permissions.RUNS, "GetObject"),
                listed,
            ],
        )
        self.explain = self._function(
            "explain", "says in a sentence why a run failed", {}, [permissions.on_table(table, "GetItem")]
        )
        self.stop_run = self._function(
            "stop_run",
            "marks a run stopped and saves its model",
            worker_functions,
            [
                permissions.on_table(table, "GetItem", "PutItem"),
                listed,
                permissions.invoking(*workers.outside.values()),
            ],
        )

    def of_the_workflow(self) -> list[lambda_.Function]:
        """Those that the state machine invokes; an event invokes ``stop_run``."""
        return [self.resolve, self.plan, self.close_lap, self.explain]

    def _function(
        self, name: str, does: str, environment: Mapping[str, str], allowed: Sequence[permissions.Permission]
    ) -> lambda_.Function:
        log_group = self._monitoring.function_logs(name)
        role = permissions.function_role(self, f"{name}-role", log_groups=[log_group], permissions=allowed)
        function = lambda_.Function(
            self,
            name,
            description=f"paytrain: {does}",
            runtime=self._runtime,
            architecture=self._architecture,
            handler="handler.handler",
            code=lambda_.Code.from_asset(str(ROOT / "lambda_src" / name), exclude=["__pycache__"]),
            layers=list(self._layers),
            environment={**self._environment, **environment},
            log_group=log_group,
            memory_size=_MEMORY_MB,
            role=role,
            timeout=_TIMEOUT,
            tracing=lambda_.Tracing.ACTIVE,
            current_version_options=published(),
        )
        acknowledge(function, "L1", "Layers and worker image are built for this version; AWS supports it until 2028.")
        return function
