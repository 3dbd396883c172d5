"""A worker that the run table shuts out leaves; one whose request failed asks again."""

import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from paytrain.errors import AttemptAborted
from paytrain.training import watch
from paytrain.training.watch import Watch

PATIENCE_SECONDS = 60


class Table:
    """Fails as it is told to, and says when it has been asked often."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self._asked = threading.Semaphore(0)

    def get(self, item: str) -> dict[str, Any] | None:
        self._asked.release()
        raise self._error

    def wait(self) -> None:
        # The third question shows that the answers to the first two have been looked at.
        assert all(self._asked.acquire(timeout=PATIENCE_SECONDS) for _ in range(3))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_INTERVAL_SECONDS", 0.01)


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "GetItem")


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException"])
def test_a_worker_without_a_run_table_leaves(code: str) -> None:
    table = Table(refused(code))
    with Watch(table, lap=0, attempt=0) as watching:
        table.wait()
        with pytest.raises(AttemptAborted, match="closed to this worker"):
            watching.leave_if_aborted()


@pytest.mark.parametrize(
    "error", [refused("ProvisionedThroughputExceededException"), EndpointConnectionError(endpoint_url="http://x")]
)
def test_a_table_that_does_not_answer_is_asked_again(error: Exception) -> None:
    table = Table(error)
    with Watch(table, lap=0, attempt=0) as watching:
        table.wait()
        watching.leave_if_aborted()
        assert not watching.stop_asked
