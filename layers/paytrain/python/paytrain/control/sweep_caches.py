"""SweepCaches: delete the clusters of runs whose execution has ended without doing so itself."""

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from paytrain.channels.aws import error_code
from paytrain.control.environment import SweepEnvironment
from paytrain.observability import logger
from paytrain.run import Keys, cache_id_of, run_id_of
from paytrain.store import Artifacts, client

LEAVE_SECONDS = 300.0
"""After a run was stopped, its workers finish their round over the cache; at most so long, if no receipt tells."""
_POLL_SECONDS = 10.0
_MARGIN_SECONDS = 30.0
_STOPPED = ("ABORTED", "TIMED_OUT", "FAILED")
_NEWEST = 100
"""Of the stopped executions, as many are looked at for one that was stopped just now."""
_NOT_YET, _GONE = "InvalidCacheClusterState", "CacheClusterNotFound"


def sweep_caches(
    event: dict[str, Any], environment: SweepEnvironment, seconds_left: Callable[[], float]
) -> dict[str, Any]:
    """Delete what ended runs have left; wait for clusters that cannot be deleted yet, as long as there is time.

    A cluster that is being created cannot be deleted, and that of a run that was just stopped is still in use.

    Parameters
    ----------
    event
        EventBridge's of an execution that has ended, which lists of executions may not tell yet; or of a schedule.
    seconds_left
        Until the platform kills the invocation.

    Returns
    -------
    dict
        Ids of the clusters that were deleted, and of those that are left for the next sweep.
    """
    ended = event.get("detail", {}).get("name")
    deleted: list[str] = []
    while True:
        left = []
        for cache_id, is_used in _abandoned(environment, ended):
            if is_used or not _delete(cache_id):
                left.append(cache_id)
            else:
                deleted.append(cache_id)
        if not left or seconds_left() < _POLL_SECONDS + _MARGIN_SECONDS:
            return {"deleted": deleted, "left": left}
        logger.info("clusters to be deleted later", extra={"clusters": left})
        time.sleep(_POLL_SECONDS)


def _abandoned(environment: SweepEnvironment, ended: str | None) -> Iterator[tuple[str, bool]]:
    """Clusters of this stack's runs whose execution is not running, and whether workers may still use them.

    Clusters are listed before executions: one that is made in between is not seen, and its execution runs.
    """
    clusters = list(_clusters(environment.cache_prefix))
    if not clusters:
        return
    machine, prefix = environment.state_machine_arn, environment.cache_prefix
    pages = client("stepfunctions").get_paginator("list_executions")
    running = {
        cache_id_of(prefix, run_id_of(execution["name"]))
        for page in pages.paginate(stateMachineArn=machine, statusFilter="RUNNING")
        for execution in page["executions"]
        if execution["name"] != ended
    }
    stopped = {ended: time.time()} if ended else {}
    for status in _STOPPED:
        newest = client("stepfunctions").list_executions(
            stateMachineArn=machine, statusFilter=status, maxResults=_NEWEST
        )
        stopped |= {execution["name"]: execution["stopDate"].timestamp() for execution in newest["executions"]}
    recent = {cache_id_of(prefix, run_id_of(name)): (run_id_of(name), at) for name, at in stopped.items()}
    for cache_id in clusters:
        if cache_id not in running:
            yield cache_id, cache_id in recent and _is_used(*recent[cache_id], environment)


def _clusters(prefix: str) -> Iterator[str]:
    """Ids of the clusters that runs of this stack have made, and that nobody is deleting."""
    own = re.compile(rf"{re.escape(prefix)}-[0-9a-f]{{16}}")
    for page in client("elasticache").get_paginator("describe_cache_clusters").paginate():
        for cluster in page["CacheClusters"]:
            if own.fullmatch(cluster["CacheClusterId"]) and cluster["CacheClusterStatus"] != "deleting":
                yield cluster["CacheClusterId"]


def _is_used(run_id: str, stopped: float, environment: SweepEnvironment) -> bool:
    """Whether workers may still be at their last round: Finish writes the receipt when they have left."""
    is_recent = time.time() - stopped < LEAVE_SECONDS
    return is_recent and not Artifacts(environment.artifacts_bucket).exists(Keys(run_id).receipt)


def _delete(cache_id: str) -> bool:
    """Delete a cluster; False when it is in a state in which it cannot be deleted."""
    try:
        client("elasticache").delete_cache_cluster(CacheClusterId=cache_id)
    except ClientError as error:
        if error_code(error) == _NOT_YET:
            return False
        if error_code(error) != _GONE:
            raise
    return True
