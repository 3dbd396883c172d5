"""The retries that a service's client does not make itself."""

import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from botocore.exceptions import IncompleteReadError, ReadTimeoutError, ResponseStreamingError

from paytrain.channels.base import Usage
from paytrain.channels.constants import ATTEMPTS, BACKOFF_SECONDS, MAX_BACKOFF_SECONDS

Result = TypeVar("Result")

BROKEN_BODY = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)
"""A connection that broke while an answer's body was read, which botocore does not retry."""


def pauses_seconds(attempts: int = ATTEMPTS) -> Iterator[float]:
    """Pauses between attempts, one fewer than attempts: doubling, with full jitter."""
    for retry in range(attempts - 1):
        yield random.uniform(0, min(MAX_BACKOFF_SECONDS, BACKOFF_SECONDS * 2**retry))


def retried(
    call: Callable[[], Result], transient: tuple[type[Exception], ...], usage: Usage, attempts: int = ATTEMPTS
) -> Result:
    """Call until it answers or raises something else; the last attempt's error is final.

    Parameters
    ----------
    call
        An idempotent request.
    transient
        Errors after which another attempt may succeed.
    usage
        Where retries are counted.
    """
    for pause in pauses_seconds(attempts):
        try:
            return call()
        except transient:
            usage.add(retries=1)
            time.sleep(pause)
    return call()
