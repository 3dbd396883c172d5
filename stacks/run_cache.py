"""The states that make a Memcached cluster for one run and delete it again, and who may do that."""

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from stacks import permissions
from stacks.cache import Cache
from stacks.tasks import zip_task

_LOOK_EVERY = cdk.Duration.seconds(20)
_ALREADY_THERE = "ElastiCache.CacheClusterAlreadyExistsException"
_NOT_YET = "ElastiCache.InvalidCacheClusterStateException"
_GONE = "ElastiCache.CacheClusterNotFoundException"
HAS_CACHE = sfn.Condition.not_(sfn.Condition.string_equals("$.cache_id", ""))
"""Whether the run has a cluster for itself."""


def open_cache(
    scope: Construct, *, cache: Cache, look_with: lambda_.Function, then: sfn.State, otherwise: sfn.IChainable
) -> sfn.IChainable:
    """Return the states that come before the first lap: a run that needs a cluster makes one and waits for it.

    Parameters
    ----------
    cache
        Where clusters are made, and of which kind.
    look_with
        The function that looks whether a cluster is available.
    then
        The first lap.
    otherwise
        Where errors lead.
    """
    create = _task(
        scope,
        "CreateCache",
        "createCacheCluster",
        comment="A Memcached cluster for this run alone; it is deleted whatever becomes of the run",
        **cache.of_a_run(),
        Tags=[*cache.tags(), {"Key": "execution", "Value.$": "$$.Execution.Id"}],
    )
    look = zip_task(
        scope,
        "OpenCache",
        look_with,
        comment="Looks whether the cluster is available, and puts its endpoint into the plan",
    )
    create.add_retry(errors=[_ALREADY_THERE], max_attempts=0)
    # A new account's service-linked role takes some seconds to be known everywhere.
    create.add_retry(errors=["States.TaskFailed"], **_patience(seconds=5, attempts=6))
    # A creation that was repeated finds its own cluster: the id is this run's.
    create.add_catch(look, errors=[_ALREADY_THERE], result_path=sfn.JsonPath.DISCARD)
    for state in (create, look):
        state.add_catch(otherwise, errors=["States.ALL"], result_path="$.failure")
    create.next(look)
    wait = sfn.Wait(
        scope, "WaitForCache", comment="A cluster takes 5 to 10 minutes", time=sfn.WaitTime.duration(_LOOK_EVERY)
    )
    wait.next(look)
    look.next(
        sfn.Choice(scope, "IsCacheOpen", comment="OpenCache gives up after 20 minutes or at the deadline")
        .when(sfn.Condition.string_equals("$.cache", "available"), then)
        .otherwise(wait)
    )
    needs = sfn.Choice(scope, "NeedsCache", comment="Only a run over Memcached does")
    return needs.when(HAS_CACHE, create).otherwise(then)


def close_cache(scope: Construct, name: str, *, then: sfn.State) -> sfn.State:
    """Return a state that deletes the run's cluster and goes on to ``then``, whether that worked or not.

    Parameters
    ----------
    name
        Of the state: there is one on the way of success, and one on that of failure.
    """
    delete = _task(
        scope,
        name,
        "deleteCacheCluster",
        comment="Deletes the run's own cluster; what remains undone, SweepCaches does",
    )
    delete.add_retry(errors=[_GONE], max_attempts=0)
    # A cluster that is being created or changed cannot be deleted.
    delete.add_retry(errors=[_NOT_YET], interval=cdk.Duration.seconds(30), backoff_rate=1, max_attempts=30)
    delete.add_retry(errors=["States.TaskFailed"], **_patience(seconds=2, attempts=3))
    delete.add_catch(then, errors=["States.ALL"], result_path=sfn.JsonPath.DISCARD)
    delete.next(then)
    return delete


def making(cache: Cache) -> list[permissions.Permission]:
    """Allow the state machine to make and delete clusters of runs, in this place only."""
    prefix = f"{cdk.Stack.of(cache).stack_name}-"
    groups = [permissions.elasticache_arn(kind, name) for kind, name in cache.groups().items()]
    role = "role/aws-service-role/elasticache.amazonaws.com/AWSServiceRoleForElastiCache"
    return [
        permissions.on_clusters(prefix, "CreateCacheCluster", "AddTagsToResource", "DeleteCacheCluster"),
        permissions.Permission(["elasticache:CreateCacheCluster"], groups),
        permissions.Permission(["ec2:DescribeSubnets", "ec2:DescribeVpcs"], ["*"]),
        # ElastiCache makes it with an account's first cluster, in the caller's name. As a resource of the stack it
        # would fail wherever it exists already, and go with the stack while other clusters need it.
        permissions.Permission(
            ["iam:CreateServiceLinkedRole"],
            [f"arn:{cdk.Aws.PARTITION}:iam::{cdk.Aws.ACCOUNT_ID}:{role}"],
            conditions={"StringEquals": {"iam:AWSServiceName": "elasticache.amazonaws.com"}},
        ),
    ]


def _task(scope: Construct, name: str, action: str, *, comment: str, **parameters: object) -> sfn.CustomState:
    """A call of ElastiCache's API about the run's cluster; the state goes on unchanged."""
    state = {
        "Type": "Task",
        "Comment": comment,
        "Resource": f"arn:{cdk.Aws.PARTITION}:states:::aws-sdk:elasticache:{action}",
        "Parameters": {"CacheClusterId.$": "$.cache_id", **parameters},
        "ResultPath": sfn.JsonPath.DISCARD,
    }
    return sfn.CustomState(scope, name, state_json=state)


def _patience(*, seconds: int, attempts: int) -> dict[str, Any]:
    return {
        "interval": cdk.Duration.seconds(seconds),
        "backoff_rate": 2,
        "max_attempts": attempts,
        "max_delay": cdk.Duration.seconds(60),
        "jitter_strategy": sfn.JitterType.FULL,
    }
