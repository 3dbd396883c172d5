"""OpenCache: look whether the Memcached cluster that a run has for itself is there, and put it into the plan."""

import time
from typing import Any

from paytrain.control.environment import CloseEnvironment
from paytrain.control.reserve import first_pace, seconds_of_lap
from paytrain.errors import CacheNotOpened
from paytrain.limits import minutes_at_end
from paytrain.plan import Plan
from paytrain.run import Keys
from paytrain.store import Artifacts, client

WAIT_SECONDS = 1200.0
"""A cluster takes 5 to 10 minutes; one that is not there after twice as long will not come."""
_AVAILABLE = "available"
_ON_ITS_WAY = ("creating", "modifying", "snapshotting", "rebooting cluster nodes")
"""States that end in ``available`` (ElastiCache API, CacheCluster)."""


def open_cache(event: dict[str, Any], environment: CloseEnvironment) -> dict[str, Any]:
    """Look at the cluster once; when it is available, write its endpoint into the plan, which no worker has read yet.

    Parameters
    ----------
    event
        The state machine's state, with ``run_id`` and ``cache_id``.

    Returns
    -------
    dict
        The state with ``cache``, which is ``available`` or ``creating``, and since when it is waited for.

    Raises
    ------
    CacheNotOpened
        When the cluster will not become available, or the run's deadline leaves no time for a lap.
    """
    cache_id, since = event["cache_id"], event.get("waiting_since", time.time())
    answer = client("elasticache").describe_cache_clusters(CacheClusterId=cache_id, ShowCacheNodeInfo=True)
    (cluster,) = answer["CacheClusters"]
    status = cluster["CacheClusterStatus"]
    artifacts, keys = Artifacts(environment.artifacts_bucket), Keys(event["run_id"])
    plan = Plan.model_validate_json(artifacts.get(keys.plan))
    now = time.time()
    waited = now - since
    if status != _AVAILABLE and (status not in _ON_ITS_WAY or waited > WAIT_SECONDS):
        raise CacheNotOpened(
            f"The Memcached cluster of this run, {cache_id}, is {status} after {waited / 60:.0f} minutes: see its "
            'events in ElastiCache, try another cache_node_type, or use channel = "s3".'
        )
    deadline = plan.job.deadline_minutes
    lap = seconds_of_lap(plan, plan.reserve.lap_seconds, first_pace(plan), step=0)
    if deadline is not None and minutes_at_end(plan, now=now, seconds=lap) > deadline:
        raise CacheNotOpened(
            f"The Memcached cluster of this run, {cache_id}, is {status} after {waited / 60:.0f} minutes, and "
            f"deadline_minutes = {deadline:g} leaves no time for a lap: allow more minutes, deploy with "
            'cache_mode = provisioned, or use channel = "s3".'
        )
    if status == _AVAILABLE:
        artifacts.put(keys.plan, plan.model_copy(update={"cache_endpoint": _endpoint(cluster)}))
        return {**event, "cache": _AVAILABLE, "waiting_since": since}
    return {**event, "cache": "creating", "waiting_since": since}


def _endpoint(cluster: dict[str, Any]) -> str:
    """``host:port`` of the configuration endpoint; any node answers as well what the others are."""
    endpoint = cluster.get("ConfigurationEndpoint") or cluster["CacheNodes"][0]["Endpoint"]
    return f"{endpoint['Address']}:{endpoint['Port']}"
