"""Caches of runs' own: who makes them and who may, and that every way out of a run leads past their deletion."""

from typing import Any

import pytest

from tests.infrastructure.templates import Synthesised, flat, states

ACCOUNT = "arn:<AWS::Partition>:elasticache:<AWS::Region>:<AWS::AccountId>"
OWN = f"{ACCOUNT}:cluster:paytrain-dev-*"
HAS_CACHE = {"Not": {"Variable": "$.cache_id", "StringEquals": ""}}
MACHINE = "arn:<AWS::Partition>:states:<AWS::Region>:<AWS::AccountId>:stateMachine:paytrain-dev"
TRACES = {"xray:PutTelemetryRecords": {"*"}, "xray:PutTraceSegments": {"*"}}


@pytest.fixture(scope="module")
def all_states(own_caches: Synthesised) -> dict[str, Any]:
    return dict(states(own_caches.definition()))


def test_there_is_a_place_for_clusters_and_none_in_it(own_caches: Synthesised) -> None:
    assert own_caches.resources("AWS::ElastiCache::CacheCluster") == {}
    assert own_caches.resources("AWS::ElastiCache::SubnetGroup")
    assert own_caches.properties("AWS::ElastiCache::ParameterGroup")["Properties"] == {"max_item_size": str(8 * 2**20)}
    assert "CacheEndpoint" not in own_caches.template["Outputs"]
    assert {"Workersworker1769vpc", "Workersworker3008vpc"} <= {
        name[:-8] for name in own_caches.resources("AWS::Lambda::Function")
    }


def test_without_own_caches_nothing_of_them_is_there(aws: Synthesised, without_cache: Synthesised) -> None:
    for stack in (aws, without_cache):
        assert not [name for name, _ in states(stack.definition()) if "Cache" in name]
        assert len(stack.resources("AWS::Events::Rule")) == 1
        assert not [action for action in stack.allowed("WorkflowStateMachineRole") if "elasticache" in action]


def test_a_runs_cluster_is_like_a_provisioned_one(all_states: dict[str, Any], aws: Synthesised) -> None:
    # given
    provisioned = aws.properties("AWS::ElastiCache::CacheCluster")

    # when
    asked = dict(all_states["CreateCache"]["Parameters"])
    tags = {tag["Key"]: tag.get("Value") or tag["Value.$"] for tag in asked.pop("Tags")}

    # then
    assert asked.pop("CacheClusterId.$") == "$.cache_id"
    assert asked == {
        "Engine": provisioned["Engine"],
        "EngineVersion": provisioned["EngineVersion"],
        "CacheNodeType": provisioned["CacheNodeType"],
        "NumCacheNodes": provisioned["NumCacheNodes"],
        "Port": provisioned["Port"],
        "CacheSubnetGroupName": flat(provisioned["CacheSubnetGroupName"]),
        "CacheParameterGroupName": flat(provisioned["CacheParameterGroupName"]),
        "SecurityGroupIds": [flat(group) for group in provisioned["VpcSecurityGroupIds"]],
    }
    assert tags == {"application": "paytrain", "stage": "dev", "execution": "$$.Execution.Id"}


def test_only_a_run_that_needs_a_cluster_makes_one_and_waits_for_it(all_states: dict[str, Any]) -> None:
    assert all_states["Plan"]["Next"] == "NeedsCache"
    assert all_states["NeedsCache"]["Choices"] == [{**HAS_CACHE, "Next": "CreateCache"}]
    assert all_states["NeedsCache"]["Default"] == "Lap"
    assert all_states["CreateCache"]["Next"] == "OpenCache"
    assert all_states["OpenCache"]["Next"] == "IsCacheOpen"
    assert all_states["IsCacheOpen"]["Choices"] == [{"Variable": "$.cache", "StringEquals": "available", "Next": "Lap"}]
    assert all_states["IsCacheOpen"]["Default"] == "WaitForCache"
    assert all_states["WaitForCache"]["Next"] == "OpenCache"


def test_a_creation_that_is_repeated_finds_its_own_cluster(all_states: dict[str, Any]) -> None:
    first, last = all_states["CreateCache"]["Catch"]

    assert first["ErrorEquals"] == ["ElastiCache.CacheClusterAlreadyExistsException"]
    assert first["Next"] == "OpenCache"
    assert (last["ErrorEquals"], last["Next"]) == (["States.ALL"], "Explain")


def test_every_way_out_leads_past_the_deletion(all_states: dict[str, Any]) -> None:
    # given the choices after a lap, and after an error
    go_on, saved = all_states["HowToGoOn"]["Choices"], all_states["IsThereAModel"]["Choices"]
    finished = {"Variable": "$.next", "StringEquals": "finished"}

    # when, then the first that fits decides
    assert go_on[1] == {"And": [finished, HAS_CACHE], "Next": "CloseCache"}
    assert go_on[2] == {**finished, "Next": "Finish"}
    assert go_on[3] == {**HAS_CACHE, "Next": "CloseCacheOfFailure"}
    assert all_states["HowToGoOn"]["Default"] == "Salvage"
    is_saved = {"Variable": "$.salvage", "BooleanEquals": True}
    assert saved[0] == {"And": [is_saved, HAS_CACHE], "Next": "CloseCacheOfFailure"}
    assert saved[1] == {**is_saved, "Next": "Salvage"}


@pytest.mark.parametrize(("state", "then"), [("CloseCache", "Finish"), ("CloseCacheOfFailure", "Salvage")])
def test_closing_waits_until_a_cluster_can_be_deleted_and_never_fails_a_run(
    all_states: dict[str, Any], state: str, then: str
) -> None:
    # given
    closing = all_states[state]

    # when
    retries = {retry["ErrorEquals"][0]: retry for retry in closing["Retry"]}

    # then a cluster takes up to 10 minutes until it is available, and one that is gone is what was wanted
    waiting = retries["ElastiCache.InvalidCacheClusterStateException"]
    assert waiting["IntervalSeconds"] * waiting["MaxAttempts"] >= 900
    assert retries["ElastiCache.CacheClusterNotFoundException"]["MaxAttempts"] == 0
    assert (closing["Next"], [(c["ErrorEquals"], c["Next"]) for c in closing["Catch"]]) == (
        then,
        [(["States.ALL"], then)],
    )
    assert closing["ResultPath"] is closing["Catch"][0]["ResultPath"] is None


def test_the_state_machine_may_make_and_delete_clusters_of_this_stack_only(
    own_caches: Synthesised, aws: Synthesised
) -> None:
    # given what it may do beside what it always may
    always, allowed = aws.allowed("WorkflowStateMachineRole"), own_caches.allowed("WorkflowStateMachineRole")

    # when
    more = {action: resources for action, resources in allowed.items() if action not in always}

    # then
    assert more == {
        "elasticache:CreateCacheCluster": {
            OWN,
            f"{ACCOUNT}:subnetgroup:<CacheSubnets>",
            f"{ACCOUNT}:parametergroup:<CacheParameters>",
        },
        "elasticache:AddTagsToResource": {OWN},
        "elasticache:DeleteCacheCluster": {OWN},
        "ec2:DescribeSubnets": {"*"},
        "ec2:DescribeVpcs": {"*"},
        "iam:CreateServiceLinkedRole": {
            "arn:<AWS::Partition>:iam::<AWS::AccountId>:role/aws-service-role/elasticache.amazonaws.com/"
            "AWSServiceRoleForElastiCache"
        },
    }


def test_the_service_linked_role_is_that_of_elasticache(own_caches: Synthesised) -> None:
    # given every statement that allows to make such a role
    policies = own_caches.resources("AWS::IAM::Policy").values()
    statements = [s for policy in policies for s in policy["Properties"]["PolicyDocument"]["Statement"]]

    # when
    conditions = [s.get("Condition") for s in statements if s["Action"] == "iam:CreateServiceLinkedRole"]

    # then
    assert conditions == [{"StringEquals": {"iam:AWSServiceName": "elasticache.amazonaws.com"}}]


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (
            "Functionsopencacherole",
            {
                "dynamodb:PutItem": {"<StorageRuns.Arn>"},
                "s3:GetObject": {"<StorageArtifacts.Arn>/runs/*"},
                "s3:PutObject": {"<StorageArtifacts.Arn>/runs/*"},
                "elasticache:DescribeCacheClusters": {OWN},
            },
        ),
        (
            "Functionssweepcachesrole",
            {
                "s3:ListBucket": {"<StorageArtifacts.Arn>"},
                "elasticache:DescribeCacheClusters": {"*"},
                "elasticache:DeleteCacheCluster": {OWN},
                "states:ListExecutions": {MACHINE},
            },
        ),
    ],
)
def test_the_functions_for_caches_may_do_what_the_table_says(
    own_caches: Synthesised, role: str, allowed: dict[str, set[str]]
) -> None:
    # given
    found = own_caches.allowed(role)

    # when its logs are set aside
    groups = found.pop("logs:PutLogEvents")

    # then
    assert found.pop("logs:CreateLogStream") == groups
    assert found == {**TRACES, **allowed}


def test_what_was_stopped_from_outside_is_swept_at_once_and_every_hour(own_caches: Synthesised) -> None:
    # given
    ended = own_caches.properties("AWS::Events::Rule", "WorkflowEnded")
    hourly = own_caches.properties("AWS::Events::Rule", "WorkflowHourly")
    sweeper = own_caches.properties("AWS::Lambda::Function", "Functionssweepcaches")

    # when
    targets = [[flat(target["Arn"]) for target in rule["Targets"]] for rule in (ended, hourly)]

    # then it has the time to wait for a cluster that is being created
    assert targets == [["<Functionsstoprun.Arn>", "<Functionssweepcaches.Arn>"], ["<Functionssweepcaches.Arn>"]]
    assert hourly["ScheduleExpression"] == "rate(1 hour)"
    assert sweeper["Timeout"] == 900
    assert sweeper["Environment"]["Variables"]["CACHE_PREFIX"] == "paytrain-dev"
    assert flat(sweeper["Environment"]["Variables"]["STATE_MACHINE_ARN"]) == MACHINE
    assert own_caches.properties("AWS::StepFunctions::StateMachine")["StateMachineName"] == "paytrain-dev"
