"""What functions may do: actions one by one, each with the resources it is about.

CDK's grants come with actions that nobody here calls (Scan, List*, ...); these do not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks.acknowledgements import acknowledge_wildcard

RUNS = "runs/*"
"""What runs leave in the artifacts bucket."""

CHECKPOINTS = "checkpoints/*"
"""What runs need only while they run; a prefix of its own, since S3's lifecycle rules know prefixes."""


@dataclass(frozen=True)
class Permission:
    """Actions allowed on resources.

    Attributes
    ----------
    why_wildcard
        Why resources are named with a ``*``; empty when none is.
    conditions
        As IAM has them.
    """

    actions: Sequence[str]
    resources: Sequence[str]
    why_wildcard: str = ""
    conditions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def statement(self) -> iam.PolicyStatement:
        """Return the IAM statement."""
        return iam.PolicyStatement(
            actions=list(self.actions), resources=list(self.resources), conditions=dict(self.conditions) or None
        )


def function_role(
    scope: Construct, construct_id: str, *, log_groups: Sequence[logs.ILogGroup], permissions: Sequence[Permission]
) -> iam.Role:
    """Return a role for functions that write to these log groups and may do nothing but what is listed."""
    role = iam.Role(scope, construct_id, assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    own_logs = Permission(["logs:CreateLogStream", "logs:PutLogEvents"], [group.log_group_arn for group in log_groups])
    for permission in (own_logs, *permissions):
        role.add_to_policy(permission.statement())
        explain_wildcards(role, permission)
    # Lambda adds X-Ray's actions to the role of a traced function.
    acknowledge_wildcard(role, "*", "X-Ray, account settings, lists and network interfaces to be made cannot be named.")
    return role


def explain_wildcards(construct: Construct, permission: Permission) -> None:
    """Tell cdk-nag why the permission's resources have wildcards."""
    if permission.why_wildcard:
        for resource in permission.resources:
            acknowledge_wildcard(construct, resource, permission.why_wildcard)


def on_table(table: dynamodb.ITable, *actions: str) -> Permission:
    """Allow the named DynamoDB actions (``GetItem``, ...) on a table."""
    return Permission([f"dynamodb:{action}" for action in actions], [table.table_arn])


def on_objects(bucket: s3.IBucket, pattern: str, *actions: str) -> Permission:
    """Allow the named S3 actions (``GetObject``, ...) on a bucket's objects."""
    return Permission(
        [f"s3:{action}" for action in actions],
        [bucket.arn_for_objects(pattern)],
        "Runs and users name their objects.",
    )


def listing(*bucket_arns: str) -> Permission:
    """Allow to list buckets; without it S3 answers 403, not 404, when a key does not exist."""
    return Permission(["s3:ListBucket"], bucket_arns)


def reading(bucket_keys: Mapping[str, str]) -> list[Permission]:
    """Allow to read the buckets that users keep models and data in, and to decrypt with exactly their keys.

    Parameters
    ----------
    bucket_keys
        Bucket's name → ARN of its KMS key, or nothing.
    """
    if not bucket_keys:
        return []
    arns = [f"arn:{cdk.Aws.PARTITION}:s3:::{name}" for name in bucket_keys]
    objects = [f"{arn}/*" for arn in arns]
    keys = sorted({key for key in bucket_keys.values() if key})
    return [
        listing(*arns),
        Permission(["s3:GetObject"], objects, "Users name their objects."),
        *([Permission(["kms:Decrypt"], keys)] if keys else []),
    ]


def invoking(*functions: lambda_.IFunction) -> Permission:
    """Allow to invoke any published version of the functions."""
    return Permission(
        ["lambda:InvokeFunction"],
        [f"{function.function_arn}:*" for function in functions],
        "A run that began before a deployment goes on with the versions it began with.",
    )


def on_clusters(prefix: str, *actions: str) -> Permission:
    """Allow the named ElastiCache actions (``DeleteCacheCluster``, ...) on clusters whose id begins with the prefix."""
    return Permission(
        [f"elasticache:{action}" for action in actions],
        [elasticache_arn("cluster", f"{prefix}*")],
        "A run's own cluster has an id of its own.",
    )


def elasticache_arn(kind: str, name: str) -> str:
    """Return the ARN of a ``cluster``, a ``subnetgroup`` or a ``parametergroup``."""
    return f"arn:{cdk.Aws.PARTITION}:elasticache:{cdk.Aws.REGION}:{cdk.Aws.ACCOUNT_ID}:{kind}:{name}"


def interfaces() -> Permission:
    """Allow what Lambda needs to attach functions to a VPC."""
    on_interfaces = [f"ec2:{verb}NetworkInterface" for verb in ("Create", "Delete")]
    on_addresses = [f"ec2:{verb}PrivateIpAddresses" for verb in ("Assign", "Unassign")]
    return Permission([*on_interfaces, *on_addresses, "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"], ["*"])
