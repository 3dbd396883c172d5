"""What every role may do: the whole table, so that a permission too many is found as well as one too few."""

import pytest

from tests.infrastructure.conftest import Synthesiser
from tests.infrastructure.templates import Synthesised

ARTIFACTS = "<StorageArtifacts.Arn>"
EXCHANGE = "<StorageExchange.Arn>"
RUNS = "<StorageRuns.Arn>"
PIECES = "<StorageExchangeTable.Arn>"
ASSETS = "arn:<AWS::Partition>:s3:::cdk-hnb659fds-assets-<AWS::AccountId>-<AWS::Region>"
EXAMPLES = {f"{ASSETS}/<asset>.keras", f"{ASSETS}/<asset>.npz"}
DATA = "arn:<AWS::Partition>:s3:::my-data"
OUTSIDE = {"<Workersworker1769.Arn>:*", "<Workersworker3008.Arn>:*"}
INSIDE = {"<Workersworker1769vpc.Arn>:*", "<Workersworker3008vpc.Arn>:*"}

TRACES = {"xray:PutTelemetryRecords": {"*"}, "xray:PutTraceSegments": {"*"}}
INTERFACES = {
    f"ec2:{action}": {"*"}
    for action in (
        "AssignPrivateIpAddresses",
        "CreateNetworkInterface",
        "DeleteNetworkInterface",
        "DescribeNetworkInterfaces",
        "DescribeSubnets",
        "UnassignPrivateIpAddresses",
    )
}
WORKER = {
    **TRACES,
    "dynamodb:GetItem": {RUNS, PIECES},
    "dynamodb:PutItem": {RUNS, PIECES},
    "dynamodb:BatchGetItem": {PIECES},
    "dynamodb:Query": {RUNS},
    "s3:GetObject": {f"{ARTIFACTS}/*", f"{EXCHANGE}/*", f"{DATA}/*", *EXAMPLES},
    "s3:PutObject": {f"{ARTIFACTS}/runs/*", f"{ARTIFACTS}/checkpoints/*", f"{EXCHANGE}/*"},
    "s3:DeleteObject": {f"{EXCHANGE}/*"},
    "s3:ListBucket": {ARTIFACTS, EXCHANGE, DATA},
}
FUNCTIONS = {
    "Functionsresolverole": {
        **TRACES,
        "dynamodb:PutItem": {RUNS},
        "s3:PutObject": {f"{ARTIFACTS}/runs/*"},
        "lambda:GetAccountSettings": {"*"},
    },
    "Functionsplanrole": {
        **TRACES,
        "dynamodb:PutItem": {RUNS},
        "s3:GetObject": {f"{ARTIFACTS}/runs/*"},
        "s3:PutObject": {f"{ARTIFACTS}/runs/*"},
    },
    "Functionscloselaprole": {
        **TRACES,
        **{f"dynamodb:{action}": {RUNS} for action in ("GetItem", "PutItem", "Query")},
        "s3:GetObject": {f"{ARTIFACTS}/runs/*"},
        "s3:ListBucket": {ARTIFACTS},
    },
    "Functionsexplainrole": {**TRACES, "dynamodb:GetItem": {RUNS}},
    "Functionsstoprunrole": {
        **TRACES,
        "dynamodb:GetItem": {RUNS},
        "dynamodb:PutItem": {RUNS},
        "s3:ListBucket": {ARTIFACTS},
        "lambda:InvokeFunction": OUTSIDE,
    },
    "WorkersRoleoutside": WORKER,
    "WorkersRoleinside": {**WORKER, **INTERFACES},
}


@pytest.fixture(scope="module")
def with_data_bucket(synthesise_with: Synthesiser) -> Synthesised:
    return synthesise_with(data_buckets="my-data")


@pytest.mark.parametrize("role", FUNCTIONS)
def test_a_function_may_do_what_the_table_says_and_write_its_own_logs(with_data_bucket: Synthesised, role: str) -> None:
    # given the role of a function
    allowed = with_data_bucket.allowed(role)

    # when its logs are set aside
    groups = allowed.pop("logs:PutLogEvents")

    # then
    assert allowed.pop("logs:CreateLogStream") == groups
    assert all(group.startswith("<Monitoring") for group in groups)
    assert allowed == FUNCTIONS[role]


def test_every_function_has_a_role_of_the_table(with_data_bucket: Synthesised) -> None:
    roles = {name[:-8] for name in with_data_bucket.resources("AWS::IAM::Role")}

    assert roles == {*FUNCTIONS, "WorkflowStateMachineRole"}


def test_no_role_has_a_managed_policy(with_data_bucket: Synthesised) -> None:
    roles = with_data_bucket.resources("AWS::IAM::Role").values()

    assert roles
    assert not [role for role in roles if "ManagedPolicyArns" in role["Properties"]]


def test_the_state_machine_invokes_any_version_of_its_functions_and_runs_its_map(aws: Synthesised) -> None:
    # given
    allowed = aws.allowed("WorkflowStateMachineRole")

    # when
    invoked = allowed["lambda:InvokeFunction"]

    # then
    zips = {f"<Functions{name}.Arn>:*" for name in ("resolve", "plan", "closelap", "explain")}
    assert {resource for resource in invoked if resource.endswith(":*")} == {*zips, *OUTSIDE, *INSIDE}
    assert allowed["states:StartExecution"] == {"<WorkflowStateMachine>"}
    assert {"states:DescribeExecution", "states:StopExecution"} <= allowed.keys()
    assert [action for action in allowed if action.startswith("dynamodb:")] == ["dynamodb:PutItem"]


def test_whoever_polls_a_bucket_may_list_it(aws: Synthesised) -> None:
    # given the workers, who ask for objects that are not there yet; without this S3 answers 403, not 404
    for role in ("WorkersRoleoutside", "WorkersRoleinside"):
        # when
        allowed = aws.allowed(role)

        # then
        polled = {resource.removesuffix("/*") for resource in allowed["s3:GetObject"] if resource.startswith("<")}
        assert polled == {ARTIFACTS, EXCHANGE}
        assert polled <= allowed["s3:ListBucket"]
