"""Clients of AWS services, one per process, and how to read their answers."""

import functools
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from paytrain.channels.base import Usage
from paytrain.channels.constants import ATTEMPTS, CONNECT_TIMEOUT_SECONDS, CONNECTIONS, READ_TIMEOUT_SECONDS


@functools.cache
def client(service: str, connections: int = CONNECTIONS) -> Any:
    """The process's client of a service; made once, since making one takes a tenth of a second.

    Parameters
    ----------
    service
        boto3's name, such as ``"s3"``.
    connections
        How many threads use it at once.
    """
    config = Config(
        max_pool_connections=connections,
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        tcp_keepalive=True,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        # Frames carry a checksum of their own, so that neither S3's nor a signature over the body is needed.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"payload_signing_enabled": False},
    )
    # Of the process' only session: each one parses a service's description anew, 10 MB of S3's.
    return boto3.client(service, config=config)


def error_code(error: ClientError) -> str:
    """The service's name of an error, such as ``NoSuchKey``."""
    return str(error.response.get("Error", {}).get("Code", ""))


def http_status(error: ClientError) -> int:
    """The HTTP status of an error's answer."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def count_retries(usage: Usage, answer: Any) -> None:
    """Count the retries that botocore made before it had this answer."""
    retries = answer.get("ResponseMetadata", {}).get("RetryAttempts", 0)
    if retries:
        usage.add(retries=retries)
