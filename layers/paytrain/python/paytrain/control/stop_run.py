"""StopRun: an execution has ended from outside; tell its workers to leave, and export what there is."""

import json
from typing import Any

from paytrain.control.environment import WorkerFunctions
from paytrain.run import RUN_STOPPED, Items, Keys, run_id_of
from paytrain.store import Artifacts, RunTable, client


def stop_run(event: dict[str, Any], environment: WorkerFunctions) -> dict[str, Any]:
    """Mark a run as stopped and start Finish in salvage mode, unless the run has its receipt already.

    Parameters
    ----------
    event
        EventBridge's "Step Functions Execution Status Change" of an execution that was aborted, timed out or failed.

    Returns
    -------
    dict
        ``run_id`` and whether a salvage was started.
    """
    detail = event["detail"]
    run_id = run_id_of(detail["name"])
    table = RunTable(environment.run_table, run_id)
    run = table.get(Items.RUN)
    if run is None or table.get(Items.start(0, 0)) is None or _has_receipt(run_id, environment):
        return {"run_id": run_id, "salvage": False}
    table.put_once(Items.STOP, {"by": detail["status"]})
    failure = {"error": RUN_STOPPED, "cause": f"The execution was ended from outside ({detail['status']})."}
    payload = {"action": "finish", "run_id": run_id, **failure}
    client("lambda").invoke(
        FunctionName=run["single_function"], InvocationType="Event", Payload=json.dumps(payload).encode()
    )
    return {"run_id": run_id, "salvage": True}


def _has_receipt(run_id: str, environment: WorkerFunctions) -> bool:
    artifacts = Artifacts(environment.artifacts_bucket)
    return artifacts.exists(Keys(run_id).receipt)
