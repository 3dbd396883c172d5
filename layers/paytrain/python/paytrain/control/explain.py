"""Explain: say in one sentence why a run has failed, and whether there is something to salvage."""

from typing import Any

from paytrain.control.environment import CloseEnvironment
from paytrain.run import Items, run_id_of
from paytrain.store import RunTable, explained


def explain(event: dict[str, Any], environment: CloseEnvironment) -> dict[str, Any]:
    """Turn an error that a state has caught into a sentence.

    Parameters
    ----------
    event
        ``state``, with the error under ``failure``, and ``execution``, the execution's name.

    Returns
    -------
    dict
        ``error`` and ``cause`` of the execution; ``salvage`` when the run has a plan and so checkpoints; the id of
        the cluster that the run may still have.
    """
    failure = event["state"]["failure"]
    run_id = run_id_of(event["execution"])
    table = RunTable(environment.run_table, run_id)
    run = table.get(Items.RUN) or {}
    return {
        "run_id": run_id,
        "single_function": run.get("single_function", ""),
        "cache_id": event["state"].get("cache_id", ""),
        "salvage": table.get(Items.start(0, 0)) is not None,
        "error": failure.get("Error", "Unknown"),
        "cause": explained(failure.get("Cause", "")),
    }
