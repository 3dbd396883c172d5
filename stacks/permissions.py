"""What functions may do, statement by statement, each with the resources it is about.

CDK's grants come with actions that nobody here calls (Scan, List*, ...); these do not.
"""

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct

RUNS = "runs/*"
"""Objects that belong to runs, in the artifacts bucket."""


def function_role(scope: Construct, construct_id: str, *log_groups: logs.ILogGroup) -> iam.Role:
    """Return a role for functions that write to these log groups; it may do nothing else yet."""
    role = iam.Role(scope, construct_id, assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    role.add_to_policy(
        allow(["logs:CreateLogStream", "logs:PutLogEvents"], [group.log_group_arn for group in log_groups])
    )
    return role


def allow(actions: Sequence[str], resources: Sequence[str]) -> iam.PolicyStatement:
    """Return a statement that allows the actions on the resources."""
    return iam.PolicyStatement(actions=list(actions), resources=list(resources))


def on_table(table: dynamodb.ITable, *actions: str) -> iam.PolicyStatement:
    """Allow the named DynamoDB actions (``GetItem``, ...) on a table."""
    return allow([f"dynamodb:{action}" for action in actions], [table.table_arn])


def on_objects(bucket: s3.IBucket, pattern: str, *actions: str) -> iam.PolicyStatement:
    """Allow the named S3 actions (``GetObject``, ...) on a bucket's objects."""
    return allow([f"s3:{action}" for action in actions], [bucket.arn_for_objects(pattern)])


def listing(*bucket_arns: str) -> iam.PolicyStatement:
    """Allow to list buckets; without it S3 answers 403, not 404, when a key does not exist."""
    return allow(["s3:ListBucket"], bucket_arns)


def reading(bucket_names: Sequence[str]) -> list[iam.PolicyStatement]:
    """Allow to read the buckets that users keep models and data in; empty without buckets."""
    if not bucket_names:
        return []
    arns = external_bucket_arns(bucket_names)
    return [listing(*arns), allow(["s3:GetObject", "s3:GetObjectVersion"], [f"{arn}/*" for arn in arns])]


def external_bucket_arns(bucket_names: Sequence[str]) -> list[str]:
    """ARNs of buckets that are not this stack's."""
    return [f"arn:{cdk.Aws.PARTITION}:s3:::{name}" for name in bucket_names]


def invoking(*functions: lambda_.IFunction) -> iam.PolicyStatement:
    """Allow to invoke any published version of the functions.

    Any, not the newest: a run that has begun before a deployment goes on with the versions it began with.
    """
    return allow(["lambda:InvokeFunction"], [f"{function.function_arn}:*" for function in functions])


def interfaces() -> iam.PolicyStatement:
    """Allow what Lambda needs to attach functions to a VPC; interfaces have no ARN before they exist."""
    names = ("CreateNetworkInterface", "DescribeNetworkInterfaces", "DescribeSubnets", "DeleteNetworkInterface",
             "AssignPrivateIpAddresses", "UnassignPrivateIpAddresses")  # fmt: skip
    return allow([f"ec2:{name}" for name in names], ["*"])
