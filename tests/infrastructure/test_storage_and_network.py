"""Buckets, tables, network and cache."""

import pytest

from paytrain.run import Keys
from tests.infrastructure.templates import Synthesised, flat


def test_buckets_are_private_encrypted_and_answer_tls_only(aws: Synthesised) -> None:
    # given
    buckets = aws.resources("AWS::S3::Bucket")
    policies = [policy["Properties"] for policy in aws.resources("AWS::S3::BucketPolicy").values()]

    # when
    denied = {flat(p["Bucket"]): p["PolicyDocument"]["Statement"][0] for p in policies}

    # then
    assert len(buckets) == 2
    for bucket in buckets.values():
        assert set(bucket["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}
        assert "BucketEncryption" in bucket["Properties"]
    assert denied.keys() == {"<StorageArtifacts>", "<StorageExchange>"}
    for statement in denied.values():
        assert (statement["Effect"], statement["Action"]) == ("Deny", "s3:*")
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_artifacts_are_versioned_and_their_checkpoints_expire(aws: Synthesised) -> None:
    # given
    artifacts = aws.properties("AWS::S3::Bucket", "StorageArtifacts")

    # when
    rules = {rule["Id"]: rule for rule in artifacts["LifecycleConfiguration"]["Rules"]}

    # then nothing else expires
    assert artifacts["VersioningConfiguration"] == {"Status": "Enabled"}
    assert rules["checkpoints"]["Prefix"] == Keys("a-run").checkpoints.removesuffix("a-run/")
    assert [rule["ExpirationInDays"] for rule in rules.values() if "ExpirationInDays" in rule] == [30]


def test_pieces_in_the_exchange_bucket_expire_after_a_day(aws: Synthesised) -> None:
    # given
    exchange = aws.properties("AWS::S3::Bucket", "StorageExchange")

    # when
    rules = {rule["Id"]: rule for rule in exchange["LifecycleConfiguration"]["Rules"]}

    # then
    assert "VersioningConfiguration" not in exchange
    assert rules["pieces"]["ExpirationInDays"] == 1
    assert rules["incomplete-uploads"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}


@pytest.mark.parametrize(
    ("table", "keys"),
    [("StorageRuns", {"run_id": "HASH", "item": "RANGE"}), ("StorageExchangeTable", {"key": "HASH"})],
)
def test_tables_are_paid_by_use_and_forget(aws: Synthesised, table: str, keys: dict[str, str]) -> None:
    properties = aws.properties("AWS::DynamoDB::Table", table)

    assert {key["AttributeName"]: key["KeyType"] for key in properties["KeySchema"]} == keys
    assert properties["BillingMode"] == "PAY_PER_REQUEST"
    assert properties["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}


def test_runs_can_be_restored(aws: Synthesised) -> None:
    runs = aws.properties("AWS::DynamoDB::Table", "StorageRuns")

    assert runs["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_what_users_keep_stays_when_the_stack_goes(aws: Synthesised, with_everything: Synthesised) -> None:
    # given by default, and with removal_policy = destroy
    kept = ("StorageArtifacts", "StorageExchange", "StorageRuns")

    for stack, policy in ((aws, "Retain"), (with_everything, "Delete")):
        # when
        resources = {**stack.resources("AWS::S3::Bucket"), **stack.resources("AWS::DynamoDB::Table")}
        policies = {name[:-8]: resource["DeletionPolicy"] for name, resource in resources.items()}

        # then
        assert {name: policies[name] for name in kept} == dict.fromkeys(kept, policy)


def test_nothing_leads_out_of_the_network(aws: Synthesised) -> None:
    # given
    types = {resource["Type"] for resource in aws.template["Resources"].values()}

    # when
    endpoints = aws.resources("AWS::EC2::VPCEndpoint").values()
    services = {flat(endpoint["Properties"]["ServiceName"]).rsplit(".", 1)[1] for endpoint in endpoints}

    # then
    assert not types & {"AWS::EC2::NatGateway", "AWS::EC2::InternetGateway", "AWS::EC2::Route", "AWS::EC2::EIP"}
    assert services == {"s3", "dynamodb"}
    assert {endpoint["Properties"]["VpcEndpointType"] for endpoint in endpoints} == {"Gateway"}


def test_the_cache_admits_the_workers_only(aws: Synthesised) -> None:
    # given
    cluster = aws.properties("AWS::ElastiCache::CacheCluster")

    # when
    (group,) = cluster["VpcSecurityGroupIds"]
    (rule,) = aws.properties("AWS::EC2::SecurityGroup", "CacheSecurityGroup")["SecurityGroupIngress"]

    # then
    assert flat(group) == "<CacheSecurityGroup.GroupId>"
    assert flat(rule["SourceSecurityGroupId"]) == "<NetworkWorkers.GroupId>"
    assert (rule["FromPort"], rule["ToPort"]) == (11211, 11211)
    assert "CidrIp" not in rule


def test_the_cache_takes_large_items(aws: Synthesised) -> None:
    # given
    parameters = aws.properties("AWS::ElastiCache::ParameterGroup")

    # when, then
    assert parameters["CacheParameterGroupFamily"] == "memcached1.6"
    assert parameters["Properties"] == {"max_item_size": str(8 * 2**20)}


def test_the_stack_says_where_everything_is(aws: Synthesised) -> None:
    outputs = aws.template["Outputs"]

    assert {"StateMachineArn", "StateMachineConsole", "ArtifactsBucket", "RunTable", "CacheEndpoint"} <= outputs.keys()
    assert flat(outputs["StateMachineArn"]["Value"]) == "<WorkflowStateMachine>"
