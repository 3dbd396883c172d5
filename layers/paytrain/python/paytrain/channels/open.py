"""Opening the channel that a plan names."""

from paytrain.channels.base import Channel
from paytrain.channels.constants import CONNECTIONS
from paytrain.plan import Plan


def open_channel(plan: Plan, *, exchange_bucket: str, exchange_table: str, threads: int = CONNECTIONS) -> Channel:
    """The plan's channel, with a usage of its own; its client is kept from one call to the next.

    Parameters
    ----------
    plan
        Names the channel, its largest item, the cache's endpoint and the directory bucket.
    exchange_bucket, exchange_table
        Where S3 and DynamoDB keep the objects.
    threads
        How many threads will call the channel at once.
    """
    # Imported where it is used: a client library costs up to half a second of a cold start.
    if plan.channel == "memcached":
        from paytrain.channels.memcached import MemcachedChannel

        return MemcachedChannel(plan.cache_endpoint, plan.item_bytes)

    from paytrain.channels import aws

    if plan.channel in ("s3", "s3express"):
        from paytrain.channels.s3 import S3Channel

        directory = plan.channel == "s3express"
        bucket = plan.express_bucket if directory else exchange_bucket
        return S3Channel(aws.client("s3", threads), bucket, directory=directory)

    from paytrain.channels.dynamodb import CONCURRENT_REQUESTS, DynamoDBChannel

    return DynamoDBChannel(aws.client("dynamodb", threads + CONCURRENT_REQUESTS), exchange_table, plan.item_bytes)
