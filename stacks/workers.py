"""The worker functions: per memory size one outside the VPC and, if there is a cache, one inside."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs
from constructs import Construct

from paytrain.planner.profile import KEY as PROFILE
from stacks import permissions
from stacks.image import WorkerImage
from stacks.layers import ROOT
from stacks.monitoring import Monitoring
from stacks.storage import Storage

_FOLDER = ROOT / "lambda_src" / "worker"


@dataclass(frozen=True)
class WorkerShape:
    """What all workers have in common.

    Attributes
    ----------
    image
        What they run from; without it they are zips, with the interpreter's own TensorFlow.
    timeout_seconds, tmp_mb, arm
        As Lambda has them.
    runtime, layers
        Of zip functions.
    environment
        Variables of every function.
    """

    image: WorkerImage | None
    timeout_seconds: int
    tmp_mb: int
    arm: bool
    runtime: lambda_.Runtime
    layers: Sequence[lambda_.ILayerVersion]
    environment: Mapping[str, str]


class Workers(Construct):
    """Workers of every memory size, ``outside`` and ``inside`` the VPC.

    Parameters
    ----------
    data_bucket_keys
        Buckets they may read besides the stack's own, each with the ARN of its KMS key or nothing.
    vpc, security_group
        Where the inside ones are; without them there are none.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        shape: WorkerShape,
        memory_sizes: Sequence[int],
        storage: Storage,
        monitoring: Monitoring,
        data_bucket_keys: Mapping[str, str],
        vpc: ec2.IVpc | None = None,
        security_group: ec2.ISecurityGroup | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._shape = shape
        self._environment = {
            **shape.environment,
            "RUN_TABLE": storage.run_table.table_name,
            "ARTIFACTS_BUCKET": storage.artifacts.bucket_name,
            "EXCHANGE_BUCKET": storage.exchange.bucket_name,
            "EXCHANGE_TABLE": storage.exchange_table.table_name,
            "TMP_MB": str(shape.tmp_mb),
            "WORKER_MEMORY_SIZES": json.dumps(list(memory_sizes)),
            # Only /tmp can be written to.
            "HOME": "/tmp",
            "KERAS_HOME": "/tmp/.keras",
            "TF_CPP_MIN_LOG_LEVEL": "2",
            # Every thread of the exchange would keep freed arrays in an arena of its own (docs/memory.md).
            "MALLOC_ARENA_MAX": "2",
            # TensorFlow would never give back what its tensors had, on processors for which it uses oneDNN.
            "TF_ONEDNN_USE_SYSTEM_ALLOCATOR": "1",
        }
        self.outside: dict[int, lambda_.Function] = {}
        self.inside: dict[int, lambda_.Function] = {}
        places: list[tuple[str, str, dict[int, lambda_.Function], ec2.IVpc | None]] = [
            ("outside", "", self.outside, None)
        ]
        if vpc is not None:
            places.append(("inside", "-vpc", self.inside, vpc))
        for place, suffix, functions, place_vpc in places:
            names = {size: f"worker-{size}{suffix}" for size in memory_sizes}
            logs = {size: monitoring.function_logs(name) for size, name in names.items()}
            role = permissions.function_role(
                self,
                f"Role-{place}",
                log_groups=list(logs.values()),
                permissions=[
                    *_permissions(storage, data_bucket_keys),
                    *(_permissions_inside(storage) if place_vpc is not None else []),
                ],
            )
            for size, name in names.items():
                functions[size] = self._function(
                    name,
                    memory_size=size,
                    role=role,
                    log_group=logs[size],
                    vpc=place_vpc,
                    security_groups=[security_group] if security_group is not None else [],
                )

    def versions(self) -> dict[str, dict[str, str]]:
        """Memory size → place → qualified ARN of the published version."""
        return {
            str(size): {
                "outside": function.current_version.function_arn,
                **({"inside": self.inside[size].current_version.function_arn} if size in self.inside else {}),
            }
            for size, function in self.outside.items()
        }

    def all(self) -> list[lambda_.Function]:
        """Every worker function."""
        return [*self.outside.values(), *self.inside.values()]

    def _function(
        self,
        name: str,
        *,
        memory_size: int,
        role: iam.IRole,
        log_group: aws_logs.ILogGroup,
        vpc: ec2.IVpc | None,
        security_groups: Sequence[ec2.ISecurityGroup],
    ) -> lambda_.Function:
        shape = self._shape
        common: dict[str, Any] = {
            "architecture": lambda_.Architecture.ARM_64 if shape.arm else lambda_.Architecture.X86_64,
            "description": "paytrain: one rank of a training run",
            "environment": self._environment,
            "ephemeral_storage_size": cdk.Size.mebibytes(shape.tmp_mb),
            "log_group": log_group,
            "memory_size": memory_size,
            "role": role,
            "timeout": cdk.Duration.seconds(shape.timeout_seconds),
            "tracing": lambda_.Tracing.ACTIVE,
            # What a worker has begun is the relay's business, never repeated behind its back.
            "current_version_options": published(retry_attempts=0),
        }
        if vpc is not None:
            isolated = ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)
            common |= {"vpc": vpc, "vpc_subnets": isolated, "security_groups": security_groups}
        if shape.image is not None:
            function = lambda_.DockerImageFunction(self, name, code=shape.image.code, **common)
            function.invalidate_version_based_on(shape.image.source_hash)
            return function
        return lambda_.Function(
            self,
            name,
            runtime=shape.runtime,
            handler="handler.handler",
            code=lambda_.Code.from_asset(
                str(_FOLDER), exclude=["Dockerfile", "requirements.txt", "trim.py", "__pycache__"]
            ),
            layers=list(shape.layers),
            **common,
        )


def published(*, retry_attempts: int | None = None) -> lambda_.VersionOptions:
    """Return options of a published version: it stays after a deployment, for the runs that began with it."""
    return lambda_.VersionOptions(
        removal_policy=cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE, retry_attempts=retry_attempts
    )


def _permissions_inside(storage: Storage) -> list[permissions.Permission]:
    allowed = [permissions.interfaces()]
    if storage.express is not None:
        # A session may do whatever the exchange does: PutObject, GetObject, DeleteObject.
        allowed.append(permissions.Permission(["s3express:CreateSession"], [storage.express.attr_arn]))
    return allowed


def _permissions(storage: Storage, data_bucket_keys: Mapping[str, str]) -> list[permissions.Permission]:
    artifacts, exchange = storage.artifacts, storage.exchange
    return [
        permissions.on_table(storage.run_table, "GetItem", "PutItem", "Query"),
        permissions.on_table(storage.exchange_table, "GetItem", "PutItem", "BatchGetItem"),
        permissions.on_objects(artifacts, "*", "GetObject"),
        permissions.on_objects(artifacts, permissions.RUNS, "PutObject"),
        permissions.on_objects(artifacts, permissions.CHECKPOINTS, "PutObject", "AbortMultipartUpload"),
        permissions.Permission(["s3:PutObject"], [artifacts.arn_for_objects(PROFILE)]),
        permissions.on_objects(exchange, "*", "GetObject", "PutObject", "DeleteObject"),
        permissions.listing(artifacts.bucket_arn, exchange.bucket_arn),
        permissions.Permission(["s3:GetObject"], storage.example_object_arns()),
        *permissions.reading(data_bucket_keys),
    ]
