"""The worker's container image: built by Docker here, or by CodeBuild in the account."""

from dataclasses import dataclass
from typing import Literal

from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from stacks.layers import ROOT

_DOCKERFILE = "lambda_src/worker/Dockerfile"


@dataclass(frozen=True)
class WorkerImage:
    """An image for functions.

    Attributes
    ----------
    code
        Of a function that runs it.
    source_hash
        Of what it is made from, where the template's name of the image does not say so; else empty.
    """

    code: lambda_.DockerImageCode
    source_hash: str = ""


def worker_image(
    scope: Construct, *, build: Literal["docker", "codebuild"], arm: bool, log_retention_days: int
) -> WorkerImage:
    """Return the worker's image.

    Parameters
    ----------
    build
        ``docker``: CDK's command line builds and pushes it before the deployment; ``codebuild``: the deployment does.
        Both without a provenance attestation, which would make it an index of images, refused by Lambda.
    arm
        Whether it is for arm64.
    log_retention_days
        Of the building's logs.
    """
    platform = ecr_assets.Platform.LINUX_ARM64 if arm else ecr_assets.Platform.LINUX_AMD64
    if build == "docker":
        # CDK's command line turns attestations off itself.
        return WorkerImage(lambda_.DockerImageCode.from_image_asset(str(ROOT), file=_DOCKERFILE, platform=platform))
    # A construct of others, loaded for those alone who ask for it.
    from stacks.codebuild import CodeBuildImage

    image = CodeBuildImage(
        scope, "Image", dockerfile=_DOCKERFILE, platform=platform, log_retention_days=log_retention_days
    )
    return WorkerImage(image.code, image.source_hash)
