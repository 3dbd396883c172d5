"""The zip functions: short tasks between laps, each with a role that allows what it does."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from paytrain.planner.profile import KEY as PROFILE
from stacks import permissions
from stacks.acknowledgements import acknowledge
from stacks.layers import ROOT
from stacks.monitoring import Monitoring
from stacks.storage import Storage
from stacks.workers import Workers, published

_MEMORY_MB = 512
_TIMEOUT = cdk.Duration.seconds(60)
_PATIENT_TIMEOUT = cdk.Duration.minutes(15)
"""For a function that waits until a cluster can be deleted, which takes minutes while it is being created."""


class Functions(Construct):
    """``resolve``, ``plan``, ``close_lap``, ``explain``, ``stop_run``; where runs have own caches two more for these.

    Parameters
    ----------
    environment
        Variables of every function.
    limits
        Variables of ``plan``: timeouts, attempts, and whether the end of a run is told.
    cache_mode
        Whether there is one Memcached cluster for all runs, one for each, or none.
    cache_endpoint, cache_item_bytes, cache_node_type, cache_nodes
        Of the Memcached cluster; empty and 0 without one.
    job_defaults
        The job that ``{}`` runs.
    data_bucket_keys
        Buckets, besides the stack's own, from which models and data may come, each with its KMS key's ARN or nothing.
    max_workers
        Largest world size of a run.
    channels
        Those that jobs may use.
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
        cache_mode: str,
        cache_endpoint: str,
        cache_item_bytes: int,
        cache_node_type: str,
        cache_nodes: int,
        job_defaults: Mapping[str, Any],
        data_bucket_keys: Mapping[str, str],
        max_workers: int,
        channels: Sequence[str],
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
                "DATA_BUCKETS": json.dumps(list(data_bucket_keys)),
                "MAX_WORKERS": str(max_workers),
                "CHANNELS": json.dumps(list(channels)),
            },
            [
                permissions.on_table(table, "PutItem"),
                permissions.on_objects(artifacts, permissions.RUNS, "PutObject"),
                permissions.Permission(["lambda:GetAccountSettings"], ["*"]),
                # To say before anything is spent that a model or data are not there.
                permissions.on_objects(artifacts, "*", "GetObject"),
                listed,
                *permissions.reading(data_bucket_keys),
            ],
        )
        self.plan = self._function(
            "plan",
            "chooses what the job left open",
            {
                **worker_functions,
                **limits,
                "CACHE_MODE": cache_mode,
                "CACHE_PREFIX": cdk.Stack.of(self).stack_name,
                "CACHE_ENDPOINT": cache_endpoint,
                "CACHE_ITEM_BYTES": str(cache_item_bytes),
                "CACHE_NODE_TYPE": cache_node_type,
                "CACHE_NODES": str(cache_nodes),
                "EXPRESS_BUCKET": storage.express.ref if storage.express is not None else "",
            },
            [
                permissions.on_table(table, "GetItem", "PutItem", "Query"),
                runs_objects,
                # What was measured in this account, if anything was.
                permissions.Permission(["s3:GetObject"], [artifacts.arn_for_objects(PROFILE)]),
                listed,
            ],
        )
        self.close_lap = self._function(
            "close_lap",
            "decides how a run goes on",
            {},
            [
                permissions.on_table(table, "GetItem", "PutItem", "Query"),
                permissions.on_objects(artifacts, permissions.RUNS, "GetObject"),
                permissions.on_objects(artifacts, permissions.CHECKPOINTS, "DeleteObject"),
                listed,
            ],
        )
        self.explain = self._function(
            "explain", "says in a sentence why a run failed", {}, [permissions.on_table(table, "GetItem", "PutItem")]
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

        self.open_cache = self.sweep_caches = None
        if cache_mode == "per_execution":
            prefix = f"{cdk.Stack.of(self).stack_name}-"
            # By its name, as the state machine knows the functions.
            machine = cdk.Stack.of(self).format_arn(
                service="states",
                resource="stateMachine",
                resource_name=cdk.Stack.of(self).stack_name,
                arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
            )
            self.open_cache = self._function(
                "open_cache",
                "looks whether the cache of a run is available",
                {},
                [
                    permissions.on_table(table, "PutItem"),
                    runs_objects,
                    permissions.on_clusters(prefix, "DescribeCacheClusters"),
                ],
            )
            self.sweep_caches = self._function(
                "sweep_caches",
                "deletes the caches that ended runs have left",
                {"CACHE_PREFIX": cdk.Stack.of(self).stack_name, "STATE_MACHINE_ARN": machine},
                [
                    listed,
                    # To find the own ones all are listed, which names no resource.
                    permissions.Permission(["elasticache:DescribeCacheClusters"], ["*"]),
                    permissions.on_clusters(prefix, "DeleteCacheCluster"),
                    permissions.Permission(["states:ListExecutions"], [machine]),
                ],
                timeout=_PATIENT_TIMEOUT,
            )

    def of_the_workflow(self) -> list[lambda_.Function]:
        """Those that the state machine invokes; events invoke ``stop_run`` and ``sweep_caches``."""
        always = [self.resolve, self.plan, self.close_lap, self.explain]
        return [*always, self.open_cache] if self.open_cache is not None else always

    def _function(
        self,
        name: str,
        does: str,
        environment: Mapping[str, str],
        allowed: Sequence[permissions.Permission],
        timeout: cdk.Duration = _TIMEOUT,
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
            timeout=timeout,
            tracing=lambda_.Tracing.ACTIVE,
            current_version_options=published(),
        )
        acknowledge(function, "L1", "Layers and worker image are built for this version; AWS supports it until 2028.")
        return function
