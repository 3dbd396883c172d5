"""Buckets and tables: what a run keeps, what its workers exchange, and the examples."""

from collections.abc import Mapping
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_assets as s3_assets
from aws_cdk import aws_s3express as s3express
from constructs import Construct

from stacks.acknowledgements import acknowledge

TTL_ATTRIBUTE = "expires_at"


class Storage(Construct):
    """Everything that outlives an invocation.

    Parameters
    ----------
    removal_policy
        Of buckets and the run table when the stack is deleted; ``DESTROY`` also empties the buckets.
    tls_only
        Whether the buckets refuse plain HTTP.
    express_zone_id
        Where there is a directory bucket (S3 Express One Zone) for the exchange; without one there is none.
    examples
        Example's name → ``model``, ``train`` and ``validation`` → file, uploaded with the deployment.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        removal_policy: cdk.RemovalPolicy,
        tls_only: bool,
        examples: Mapping[str, Mapping[str, Path]],
        express_zone_id: str | None,
    ) -> None:
        super().__init__(scope, construct_id)
        days = cdk.Duration.days
        self._removal_policy = removal_policy
        self._tls_only = tls_only
        self.artifacts = self._bucket(
            "Artifacts",
            versioned=True,
            rules=[
                # What a run deletes of them is of no more use to anybody.
                s3.LifecycleRule(
                    id="checkpoints",
                    prefix="checkpoints/",
                    expiration=days(30),
                    noncurrent_version_expiration=days(1),
                ),
                s3.LifecycleRule(
                    id="overwritten", noncurrent_version_expiration=days(30), expired_object_delete_marker=True
                ),
            ],
        )
        self.exchange = self._bucket(
            "Exchange", versioned=False, rules=[s3.LifecycleRule(id="pieces", expiration=days(1))]
        )
        self.express = None if express_zone_id is None else self._directory_bucket(express_zone_id)
        self.run_table = dynamodb.Table(
            self,
            "Runs",
            partition_key=dynamodb.Attribute(name="run_id", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="item", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            time_to_live_attribute=TTL_ATTRIBUTE,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            removal_policy=removal_policy,
        )
        # A partition key of its own for every item spreads a gang's load over the table's partitions.
        self.exchange_table = dynamodb.Table(
            self,
            "ExchangeTable",
            partition_key=dynamodb.Attribute(name="key", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            time_to_live_attribute=TTL_ATTRIBUTE,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        acknowledge(self.exchange_table, "DDB3", "Its items are worthless after the round that exchanged them.")
        self.examples = {
            name: {
                role: s3_assets.Asset(self, f"Example-{name}-{role}", path=str(path)) for role, path in parts.items()
            }
            for name, parts in examples.items()
        }

    def example_uris(self) -> dict[str, dict[str, str]]:
        """Example's name → role → ``s3://`` URI."""
        return {
            name: {role: asset.s3_object_url for role, asset in parts.items()} for name, parts in self.examples.items()
        }

    def example_object_arns(self) -> list[str]:
        """ARNs of the examples' objects, for permissions."""
        assets = [asset for parts in self.examples.values() for asset in parts.values()]
        return [asset.bucket.arn_for_objects(asset.s3_object_key) for asset in assets]

    def _directory_bucket(self, zone_id: str) -> s3express.CfnDirectoryBucket:
        """Private, encrypted by S3, and without versions: directory buckets have nothing else."""
        rules = s3express.CfnDirectoryBucket
        bucket = s3express.CfnDirectoryBucket(
            self,
            "Express",
            data_redundancy="SingleAvailabilityZone",
            location_name=zone_id,
            lifecycle_configuration=rules.LifecycleConfigurationProperty(
                rules=[rules.RuleProperty(id="pieces", status="Enabled", expiration_in_days=1)]
            ),
        )
        bucket.apply_removal_policy(self._removal_policy)
        expires = iam.PolicyStatement(
            actions=["s3express:CreateSession"],
            resources=[bucket.attr_arn],
            principals=[iam.ServicePrincipal("lifecycle.s3.amazonaws.com")],
            conditions={"StringEquals": {"s3express:SessionMode": "ReadWrite"}},
        )
        s3express.CfnBucketPolicy(
            self, "ExpressPolicy", bucket=bucket.ref, policy_document=iam.PolicyDocument(statements=[expires])
        )
        return bucket

    def _bucket(self, name: str, *, versioned: bool, rules: list[s3.LifecycleRule]) -> s3.Bucket:
        incomplete = s3.LifecycleRule(
            id="incomplete-uploads", abort_incomplete_multipart_upload_after=cdk.Duration.days(1)
        )
        bucket = s3.Bucket(
            self,
            name,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=self._tls_only,
            versioned=versioned,
            lifecycle_rules=[*rules, incomplete],
            removal_policy=self._removal_policy,
            auto_delete_objects=self._removal_policy == cdk.RemovalPolicy.DESTROY,
        )
        acknowledge(bucket, "S1", "Access logs would cost more than a run; CloudTrail can record data events.")
        return bucket
