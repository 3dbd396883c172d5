"""Buckets, tables, network and cache."""

import json

import pytest

from paytrain.run import Keys
from tests.infrastructure.conftest import Synthesiser
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
    # and what a run deletes of its checkpoints does not live on as a version
    assert rules["checkpoints"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}


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


def test_the_cache_is_in_one_zone_beside_the_workers(aws: Synthesised) -> None:
    # given
    cluster = aws.properties("AWS::ElastiCache::CacheCluster")
    subnets = aws.properties("AWS::ElastiCache::SubnetGroup")["SubnetIds"]

    # when
    functions = [function["Properties"] for function in aws.resources("AWS::Lambda::Function").values()]
    (workers,) = {flat(function["VpcConfig"]["SubnetIds"]) for function in functions if "VpcConfig" in function}

    # then
    assert [flat(subnet) for subnet in subnets] == [workers]
    assert (cluster["Engine"], cluster["AZMode"]) == ("memcached", "single-az")
    assert (cluster["CacheNodeType"], cluster["NumCacheNodes"]) == ("cache.t4g.micro", 1)


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


def test_the_console_link_is_that_of_the_partition(aws: Synthesised) -> None:
    # given
    link = json.dumps(aws.template["Outputs"]["StateMachineConsole"]["Value"])

    # when
    hosts = {partition: names["host"] for partition, names in aws.template["Mappings"]["Consoles"].items()}

    # then
    assert hosts["aws"] == "console.aws.amazon.com"
    assert hosts["aws-cn"] == "console.amazonaws.cn"
    assert '{"Fn::FindInMap": ["Consoles", {"Ref": "AWS::Partition"}, "host"]}' in link
    assert '/states/home?region=", {"Ref": "AWS::Region"}, "#/statemachines/view/' in link


def test_everything_that_can_have_tags_has_them(aws: Synthesised) -> None:
    # given the kinds of resources that are paid for
    paid = ("AWS::Lambda::Function", "AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::ElastiCache::CacheCluster")
    others = ("AWS::StepFunctions::StateMachine", "AWS::Logs::LogGroup", "AWS::EC2::VPC", "AWS::IAM::Role")

    for kind in (*paid, *others):
        for name, resource in aws.resources(kind).items():
            # when
            tags = {tag["Key"]: tag["Value"] for tag in resource["Properties"]["Tags"]}

            # then
            assert tags.items() >= {"application": "paytrain", "stage": "dev"}.items(), name


def test_a_directory_bucket_is_in_the_zone_of_workers_and_cache(synthesise_with: Synthesiser) -> None:
    # given
    stack = synthesise_with(availability_zone_id="use1-az4")

    # when
    bucket, subnet = stack.properties("AWS::S3Express::DirectoryBucket"), stack.properties("AWS::EC2::Subnet")
    endpoints = stack.resources("AWS::EC2::VPCEndpoint").values()

    # then
    assert (bucket["LocationName"], bucket["DataRedundancy"]) == ("use1-az4", "SingleAvailabilityZone")
    assert subnet["AvailabilityZoneId"] == "use1-az4"
    assert "AvailabilityZone" not in subnet
    # and it is reached without leaving the network
    services = {flat(endpoint["Properties"]["ServiceName"]).rsplit(".", 1)[1] for endpoint in endpoints}
    assert services == {"s3", "dynamodb", "s3express"}


def test_pieces_in_the_directory_bucket_expire_after_a_day(with_express: Synthesised) -> None:
    # given
    bucket = with_express.properties("AWS::S3Express::DirectoryBucket")
    policy = with_express.properties("AWS::S3Express::BucketPolicy")

    # when
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    (statement,) = policy["PolicyDocument"]["Statement"]

    # then S3's lifecycle may do what the rule says
    assert (rule["Status"], rule["ExpirationInDays"]) == ("Enabled", 1)
    assert (statement["Action"], statement["Principal"]) == (
        "s3express:CreateSession",
        {"Service": "lifecycle.s3.amazonaws.com"},
    )
    assert flat(statement["Resource"]) == "<StorageExpress.Arn>"


def test_workers_are_told_of_the_directory_bucket_by_the_plan(with_express: Synthesised, aws: Synthesised) -> None:
    for stack, bucket in ((with_express, "<StorageExpress>"), (aws, "")):
        # given
        plan = stack.properties("AWS::Lambda::Function", "Functionsplan")["Environment"]["Variables"]
        resolve = stack.properties("AWS::Lambda::Function", "Functionsresolve")["Environment"]["Variables"]

        # when, then
        assert flat(plan["EXPRESS_BUCKET"]) == bucket
        assert ("s3express" in json.loads(resolve["CHANNELS"])) == bool(bucket)


def test_without_a_zone_there_is_no_directory_bucket(aws: Synthesised) -> None:
    assert not aws.resources("AWS::S3Express::DirectoryBucket")
    assert "AvailabilityZone" in aws.properties("AWS::EC2::Subnet")
