"""Looks at the run's marks and reports progress, beside the training loop."""

import threading
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from paytrain.errors import AttemptAborted
from paytrain.observability import logger
from paytrain.run import Items
from paytrain.store import RunTable

_INTERVAL_SECONDS = 2.0
_FOR_GOOD = ("AccessDeniedException", "ResourceNotFoundException")
"""What a run table answers whose stack has been changed under the run; no later request would fare better."""


class Watch:
    """Every two seconds: has the attempt been aborted, has a stop been asked for, what is there to report?

    Used as a context manager around the training loop; the thread ends with it.
    """

    def __init__(self, table: RunTable, lap: int, attempt: int) -> None:
        self._table = table
        self._abort_item = Items.abort(lap, attempt)
        self._ended = threading.Event()
        self._aborted = threading.Event()
        self._locked_out = threading.Event()
        self._asked = threading.Event()
        self._report: dict[str, Any] | None = None
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def stop_asked(self) -> bool:
        """Whether somebody outside has marked the run as stopped."""
        return self._asked.is_set()

    def leave_if_aborted(self) -> None:
        """Raise when another rank, or Step Functions for a dead one, has aborted the attempt; or when nobody can say.

        Raises
        ------
        AttemptAborted
        """
        if self._aborted.is_set():
            raise AttemptAborted("Another worker has failed; this one leaves so that the lap can be tried again.")
        if self._locked_out.is_set():
            raise AttemptAborted("The run table is closed to this worker: its stack was changed while the run was on.")

    def report(self, progress: dict[str, Any]) -> None:
        """Hand over what the progress item shall say next."""
        self._report = progress

    def _run(self) -> None:
        while not self._ended.wait(_INTERVAL_SECONDS):
            self._try(self._look)
        self._try(self._write_report)

    def _try(self, call: Callable[[], None]) -> None:
        """A table that cannot be asked now will be asked again; training does not depend on it."""
        try:
            call()
        except ClientError as error:
            if error.response["Error"]["Code"] in _FOR_GOOD:
                self._locked_out.set()
            logger.warning("the run table refused", extra={"cause": str(error)})
        except BotoCoreError as error:
            logger.warning("the run table did not answer", extra={"cause": str(error)})

    def _look(self) -> None:
        if self._table.get(self._abort_item) is not None:
            self._aborted.set()
        if self._table.get(Items.STOP) is not None:
            self._asked.set()
        self._write_report()

    def _write_report(self) -> None:
        report, self._report = self._report, None
        if report is not None:
            self._table.put(Items.PROGRESS, report)
