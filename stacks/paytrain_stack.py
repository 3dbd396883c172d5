"""The one stack: composes the constructs, names the outputs."""

import sys
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from examples import build
from stacks.cache import Cache
from stacks.functions import Functions
from stacks.image import worker_image
from stacks.layers import Layers
from stacks.monitoring import Monitoring
from stacks.network import Network
from stacks.notification import Notification
from stacks.settings import Settings
from stacks.storage import Storage
from stacks.workers import Workers, WorkerShape
from stacks.workflow import Workflow

_CONSOLES = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}
"""Where each of AWS' partitions has its console."""

_ENVIRONMENT = {"POWERTOOLS_SERVICE_NAME": "paytrain", "LOG_LEVEL": "INFO"}


class PaytrainStack(cdk.Stack):
    """Everything a deployment has.

    Parameters
    ----------
    settings
        What the context asks for.
    """

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings) -> None:
        twin = settings.packaging == "zip"
        super().__init__(
            scope,
            construct_id,
            description="paytrain: data-parallel training of Keras models on serverless compute",
            # The twin enforces IAM and refuses to publish assets through the bootstrap roles.
            synthesizer=cdk.CliCredentialsStackSynthesizer() if twin else None,
        )
        self._own_tags = {"application": "paytrain", "stage": settings.stage}
        for key, value in self._own_tags.items():
            cdk.Tags.of(self).add(key, value)
        # The twin runs zip functions with the interpreter it was started with, which is this one.
        runtime = _runtime_of_this_python() if twin else lambda_.Runtime.PYTHON_3_12
        retain = settings.removal_policy == "retain"

        monitoring = Monitoring(self, "Monitoring", prefix=construct_id, retention_days=settings.log_retention_days)
        storage = Storage(
            self,
            "Storage",
            removal_policy=cdk.RemovalPolicy.RETAIN if retain else cdk.RemovalPolicy.DESTROY,
            # The twin speaks plain HTTP and, like AWS, heeds what bucket policies say of that.
            tls_only=not twin,
            examples=build.ensure(),
            express_zone_id=settings.availability_zone_id,
        )
        network, cache = self._network_and_cache(settings)
        layers = Layers(self, "Layers", runtime=runtime, arm=settings.arm, for_this_python=twin)
        image = None
        if not twin:
            image = worker_image(
                self, build=settings.image_build, arm=settings.arm, log_retention_days=settings.log_retention_days
            )
        workers = Workers(
            self,
            "Workers",
            shape=WorkerShape(
                image=image,
                timeout_seconds=settings.worker_timeout_seconds,
                tmp_mb=settings.tmp_mb,
                arm=settings.arm,
                runtime=runtime,
                layers=layers.versions,
                environment=_ENVIRONMENT,
            ),
            memory_sizes=settings.worker_memory_sizes,
            storage=storage,
            monitoring=monitoring,
            data_bucket_keys=settings.data_bucket_keys,
            vpc=network.vpc if network else None,
            security_group=network.worker_security_group if network else None,
        )
        functions = Functions(
            self,
            "Functions",
            runtime=runtime,
            layers=layers.versions,
            arm=settings.arm,
            environment=_ENVIRONMENT,
            storage=storage,
            workers=workers,
            monitoring=monitoring,
            limits=_limits(settings),
            cache_mode=settings.cache_mode,
            cache_endpoint=cache.endpoint if cache else "",
            cache_item_bytes=cache.item_bytes if cache else 0,
            cache_node_type=settings.cache_node_type if cache else "",
            cache_nodes=settings.cache_nodes if cache else 0,
            job_defaults=settings.job_defaults(),
            data_bucket_keys=settings.data_bucket_keys,
            max_workers=settings.max_workers,
            channels=settings.channels,
        )
        notification = None
        if settings.notify_email is not None:
            notification = Notification(self, "Notification", email=settings.notify_email, tls_only=not twin)
        workflow = Workflow(
            self,
            "Workflow",
            name=construct_id,
            functions=functions,
            workers=workers,
            run_table=storage.run_table,
            max_workers=settings.max_workers,
            topic=notification.topic if notification else None,
            cache=cache if settings.cache_mode == "per_execution" else None,
            cache_endpoint=cache.endpoint if cache else "",
            cache_item_bytes=cache.item_bytes if cache else 0,
            express_bucket=storage.express.ref if storage.express is not None else "",
            log_group=monitoring.state_machine_logs(),
        )
        self._outputs(storage, cache, workflow)

    def _network_and_cache(self, settings: Settings) -> tuple[Network | None, Cache | None]:
        if not settings.has_network:
            return None, None
        network = Network(self, "Network", zone_id=settings.availability_zone_id)
        if not settings.has_cache:
            return network, None
        cache = Cache(
            self,
            "Cache",
            vpc=network.vpc,
            worker_security_group=network.worker_security_group,
            node_type=settings.cache_node_type,
            nodes=settings.cache_nodes,
            item_mb=settings.cache_item_mb,
            provisioned=settings.cache_mode == "provisioned",
            tags=self._own_tags,
        )
        return network, cache

    def _outputs(self, storage: Storage, cache: Cache | None, workflow: Workflow) -> None:
        arn = workflow.state_machine.state_machine_arn
        consoles = cdk.CfnMapping(self, "Consoles", mapping={name: {"host": host} for name, host in _CONSOLES.items()})
        host = consoles.find_in_map(self.partition, "host")
        console = f"https://{host}/states/home?region={self.region}#/statemachines/view/{arn}"
        outputs: dict[str, tuple[Any, str]] = {
            "StateMachineArn": (arn, "start an execution of this to train"),
            "StateMachineConsole": (console, "the same in the browser"),
            "ArtifactsBucket": (storage.artifacts.bucket_name, "runs/<run id>/ holds model, history and receipt"),
            "ExchangeBucket": (storage.exchange.bucket_name, "what workers exchange through S3; emptied daily"),
            "RunTable": (storage.run_table.table_name, "progress and outcomes of runs"),
        }
        if cache and cache.endpoint:
            outputs["CacheEndpoint"] = (cache.endpoint, "configuration endpoint of the Memcached cluster")
        for name, (value, description) in outputs.items():
            cdk.CfnOutput(self, name, value=value, description=description)


def _limits(settings: Settings) -> dict[str, str]:
    names = ("worker_timeout_seconds", "peer_timeout_seconds", "gang_timeout_seconds", "max_attempts")
    notifies = str(settings.notify_email is not None).lower()
    return {**{name.upper(): str(getattr(settings, name)) for name in names}, "NOTIFIES": notifies}


def _runtime_of_this_python() -> lambda_.Runtime:
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return lambda_.Runtime(name, lambda_.RuntimeFamily.PYTHON)
