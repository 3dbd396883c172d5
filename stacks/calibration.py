"""The states of a calibration: a worker outside the VPC measures S3 and DynamoDB, one inside what is reached there."""

from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from stacks.tasks import worker_task


def calibration(
    scope: Construct, *, cache_endpoint: str, cache_item_bytes: int, express_bucket: str, otherwise: sfn.IChainable
) -> sfn.IChainable:
    """Return the first of the states; which workers measure is in the state's input.

    Parameters
    ----------
    cache_endpoint, cache_item_bytes
        Of the provisioned cluster; without one it is not measured.
    express_bucket
        The directory bucket; likewise.
    otherwise
        Where errors lead.
    """
    done = sfn.Succeed(scope, "Calibrated", comment="Plans are made with the measured profile from now on")
    outside = worker_task(
        scope,
        "Calibrate",
        comment="Measures S3, DynamoDB and a worker's start",
        function="$.single_function",
        repeatable=True,
        payload={"action": "calibrate", "run_id.$": "$.run_id", "channels": ["s3", "dynamodb"]},
        ResultSelector={"result.$": "$.Payload"},
        ResultPath="$.calibration",
    )
    tasks = [outside]
    inside_channels = {"memcached": cache_endpoint, "s3express": express_bucket}
    if any(inside_channels.values()):
        inside = worker_task(
            scope,
            "CalibrateInside",
            comment="Measures the Memcached cluster and the directory bucket, from inside the VPC",
            function="$.function",
            repeatable=True,
            payload={
                "action": "calibrate",
                "run_id.$": "$.run_id",
                "channels": [channel for channel, place in inside_channels.items() if place],
                "cache_endpoint": cache_endpoint,
                "cache_item_bytes": cache_item_bytes,
                "express_bucket": express_bucket,
            },
            ResultSelector={"result.$": "$.Payload"},
            ResultPath="$.calibration",
        )
        outside.next(inside)
        tasks.append(inside)
    tasks[-1].next(done)
    for task in tasks:
        task.add_catch(otherwise, errors=["States.ALL"], result_path="$.failure")
    return outside
