"""The worker's image built in the account by AWS CodeBuild, for machines without Docker."""

import aws_cdk as cdk
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3_assets as s3_assets
from cdklabs.deploy_time_build import ContainerImageBuild
from constructs import Construct, IConstruct

from stacks.acknowledgements import acknowledge, acknowledge_wildcard
from stacks.layers import ROOT


class CodeBuildImage(Construct):
    """An image that the deployment builds from the repository, as Docker would: by the same ``.dockerignore``.

    Parameters
    ----------
    dockerfile
        Relative to the repository.
    platform
        For which it is built, and on whose machines.
    log_retention_days
        Of the builder's logs.

    Attributes
    ----------
    code
        Of a function that runs it.
    source_hash
        Of what it is made from. The template names the image only when it is built, so nothing in a function's
        properties tells one source from another.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        dockerfile: str,
        platform: ecr_assets.Platform,
        log_retention_days: int,
    ) -> None:
        super().__init__(scope, construct_id)
        build = ContainerImageBuild(
            self,
            "Build",
            directory=str(ROOT),
            file=dockerfile,
            platform=platform,
            exclude=(ROOT / ".dockerignore").read_text().splitlines(),
            ignore_mode=cdk.IgnoreMode.DOCKER,
        )
        source = build.node.find_child("Source")
        assert isinstance(source, s3_assets.Asset)
        self.code: lambda_.DockerImageCode = build.to_lambda_docker_image_code()
        self.source_hash: str = source.asset_hash

        # The construct puts these two into the stack itself, since one of each is enough for any number of images.
        beside = cdk.Stack.of(self).node.children
        (project,) = [child for child in beside if isinstance(child, codebuild.Project)]
        (trigger,) = [child for child in beside if child.node.id.startswith("DeployTimeBuild")]
        self._end_logs(build, project, trigger, log_retention_days)
        _explain(project, trigger, source)

    def _end_logs(
        self, build: ContainerImageBuild, project: codebuild.Project, trigger: IConstruct, retention_days: int
    ) -> None:
        trigger_logs = trigger.node.find_child("LogGroup").node.default_child
        assert isinstance(trigger_logs, logs.CfnLogGroup)
        trigger_logs.retention_in_days = retention_days
        name = f"/aws/codebuild/{project.project_name}"
        project_logs = logs.CfnLogGroup(self, "Logs", log_group_name=name, retention_in_days=retention_days)
        # CodeBuild would make the group itself, one that never forgets.
        build.node.find_child("Resource").node.add_dependency(project_logs)
        for group in (trigger_logs, project_logs):
            group.apply_removal_policy(cdk.RemovalPolicy.DESTROY)


def _explain(project: codebuild.Project, trigger: IConstruct, source: s3_assets.Asset) -> None:
    managed = "IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy"
    acknowledge(trigger, f"{managed}/service-role/AWSLambdaBasicExecutionRole]", "The construct's own; it only logs.")
    acknowledge(trigger, "L1", "The construct chooses the runtime that its bundled code was tested with.")
    acknowledge(project, f"{managed}/AmazonElasticContainerRegistryPublicReadOnly]", "It pulls Lambda's base image.")
    acknowledge(project, "CB4", "It keeps no artifacts: its result is in ECR, encrypted there.")
    acknowledge_wildcard(project, "*", "A token for ECR cannot be asked for by name.")
    acknowledge_wildcard(project, source.bucket.arn_for_objects("*"), "CDK grants assets by their bucket.")
    for action in ("GetBucket", "GetObject", "List"):
        acknowledge(project, f"IAM5[Action::s3:{action}*]", "CDK's grant to read the asset.")
    region = f"{cdk.Aws.REGION}:{cdk.Aws.ACCOUNT_ID}"
    for own in (
        f"logs:{region}:log-group:/aws/codebuild/{project.project_name}:*",
        f"codebuild:{region}:report-group/{project.project_name}-*",
    ):
        acknowledge_wildcard(project, f"arn:{cdk.Aws.PARTITION}:{own}", "What the project itself writes.")
