"""What an invocation of a function spends, from the start of its sandbox to the record that it leaves."""

import math
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from paytrain import cold_start, store
from paytrain.channels.base import Usage
from paytrain.observability import logger
from paytrain.planner import prices
from paytrain.run import Items, Spent
from paytrain.store import RunTable


class Spending:
    """What one invocation has spent so far.

    Parameters
    ----------
    place
        Function, and lap, attempt and rank as far as there are any.
    init_seconds
        Of the sandbox's start, if this is its first invocation.

    Attributes
    ----------
    exchange
        The channel's counts, once there is a channel.
    """

    def __init__(self, place: dict[str, Any], init_seconds: float) -> None:
        self.exchange = Usage()
        self._place = place
        self._init_seconds = init_seconds
        self._began = time.time()
        self._entered = time.monotonic()
        self._before = store.usage.snapshot()

    def billed_seconds(self) -> float:
        """Since the sandbox's start, or since the handler was entered in a warm one."""
        return self._init_seconds + time.monotonic() - self._entered

    def so_far(self, *, failed: bool = False, **coming: float) -> Spent:
        """The record of what has been spent, with the requests that are still to come."""
        counts = store.usage.snapshot()
        requests = {name: count - self._before.get(name, 0) for name, count in counts.items()}
        for name, count in coming.items():
            requests[name] = requests.get(name, 0) + count
        return Spent.model_validate(
            {
                **self._place,
                "architecture": architecture(),
                "memory_mb": os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"],
                "tmp_mb": os.environ.get("TMP_MB", prices.LAMBDA_FREE_TMP_MB),
                "began": round(self._began, 3),
                "init_seconds": _billed(self._init_seconds),
                "seconds": _billed(time.monotonic() - self._entered),
                "failed": failed,
                "requests": {name: count for name, count in requests.items() if count},
                "exchange": self.exchange.snapshot(),
            }
        )


class FunctionMeter:
    """Measures the invocations of a sandbox; made when everything has been imported, as its start ends there.

    Parameters
    ----------
    run_table
        Where every invocation leaves its record.
    """

    def __init__(self, run_table: str) -> None:
        self._run_table = run_table
        cold_start.sandbox_is_ready()

    @contextmanager
    def invocation(self, function: str, run_id: str, event: dict[str, Any], context: Any) -> Iterator[Spending]:
        """Measure an invocation, and write what it has spent to the run table, whether or not it raises.

        Parameters
        ----------
        function
            What it does.
        event
            Says ``lap``, ``attempt`` and ``rank``, as far as there are any.
        context
            Lambda's, which names the invocation: a second one for the same task has a record of its own.
        """
        place: dict[str, Any] = {name: event[name] for name in ("lap", "attempt", "rank") if name in event}
        cold_start.invocation_begins()
        spending = Spending({"function": function, **place}, cold_start.init_seconds())
        failed = True
        try:
            yield spending
            failed = False
        finally:
            item = f"{Items.spent(place.get('lap'), place.get('attempt'))}{function}#{context.aws_request_id}"
            _write(RunTable(self._run_table, run_id), item, spending, failed)


def _write(table: RunTable, item: str, spending: Spending, failed: bool) -> None:
    """Write the record, which counts its own write; what an invocation has done does not depend on it."""
    record, units = spending.so_far(failed=failed, dynamodb_requests=1, dynamodb_write_units=1), 1
    while (needed := table.write_units(item, record)) > units:
        units = needed
        record = spending.so_far(failed=failed, dynamodb_requests=1, dynamodb_write_units=units)
    try:
        table.put(item, record)
    except (BotoCoreError, ClientError) as error:
        logger.warning("what was spent could not be recorded", extra={"cause": str(error)})


def architecture() -> str:
    """Of this function, as the price list names it."""
    return "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"


def _billed(seconds: float) -> float:
    """Lambda bills whole milliseconds, rounded up."""
    return math.ceil(seconds * 1000) / 1000
