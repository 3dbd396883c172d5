"""What every role may do: the whole table, so that a permission too many is found as well as one too few."""

import pytest

from tests.infrastructure.conftest import KEY, Synthesiser
from tests.infrastructure.templates import Synthesised

ARTIFACTS = "<StorageArtifacts.Arn>"
EXCHANGE = "<StorageExchange.Arn>"
RUNS = "<StorageRuns.Arn>"
TABLE_OF_RUNS = "arn:<AWS::Partition>:dynamodb:<AWS::Region>:<AWS::AccountId>:table/<StorageRuns>"
"""How Step Functions' own integration names it."""
PROFILE = f"{ARTIFACTS}/profile/service_profile.json"
PIECES = "<StorageExchangeTable.Arn>"
ASSETS = "arn:<AWS::Partition>:s3:::cdk-hnb659fds-assets-<AWS::AccountId>-<AWS::Region>"
EXAMPLES = {f"{ASSETS}/<asset>.keras", f"{ASSETS}/<asset>.npz"}
DATA = "arn:<AWS::Partition>:s3:::my-data"
SECRET_DATA = "arn:<AWS::Partition>:s3:::secret-data"
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
    "s3:GetObject": {f"{ARTIFACTS}/*", f"{EXCHANGE}/*", f"{DATA}/*", f"{SECRET_DATA}/*", *EXAMPLES},
    "s3:PutObject": {f"{ARTIFACTS}/runs/*", f"{ARTIFACTS}/checkpoints/*", PROFILE, f"{EXCHANGE}/*"},
    "s3:AbortMultipartUpload": {f"{ARTIFACTS}/checkpoints/*"},
    "s3:DeleteObject": {f"{EXCHANGE}/*"},
    "s3:ListBucket": {ARTIFACTS, EXCHANGE, DATA, SECRET_DATA},
    "kms:Decrypt": {KEY},
}
FUNCTIONS = {
    "Functionsresolverole": {
        **TRACES,
        "dynamodb:PutItem": {RUNS},
        "s3:PutObject": {f"{ARTIFACTS}/runs/*"},
        "s3:GetObject": {f"{ARTIFACTS}/*", f"{DATA}/*", f"{SECRET_DATA}/*"},
        "s3:ListBucket": {ARTIFACTS, DATA, SECRET_DATA},
        "kms:Decrypt": {KEY},
        "lambda:GetAccountSettings": {"*"},
    },
    "Functionsplanrole": {
        **TRACES,
        **{f"dynamodb:{action}": {RUNS} for action in ("GetItem", "PutItem", "Query")},
        "s3:GetObject": {f"{ARTIFACTS}/runs/*", PROFILE},
        "s3:PutObject": {f"{ARTIFACTS}/runs/*"},
        "s3:ListBucket": {ARTIFACTS},
    },
    "Functionscloselaprole": {
        **TRACES,
        **{f"dynamodb:{action}": {RUNS} for action in ("GetItem", "PutItem", "Query")},
        "s3:GetObject": {f"{ARTIFACTS}/runs/*"},
        "s3:DeleteObject": {f"{ARTIFACTS}/checkpoints/*"},
        "s3:ListBucket": {ARTIFACTS},
    },
    "Functionsexplainrole": {**TRACES, **{f"dynamodb:{action}": {RUNS} for action in ("GetItem", "PutItem")}},
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
    return synthesise_with(data_buckets=f"my-data,secret-data={KEY}")


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


def test_the_state_machine_may_do_what_the_table_says(aws: Synthesised) -> None:
    # given a role that the emulator does not hold the state machine to
    allowed = aws.allowed("WorkflowStateMachineRole")
    zips = {f"<Functions{name}.Arn>:*" for name in ("resolve", "plan", "closelap", "explain")}
    own_versions = {f"<Functions{name}CurrentVersion>" for name in ("resolve", "plan", "closelap", "explain")}
    machine = "arn:<AWS::Partition>:states:<AWS::Region>:<AWS::AccountId>:execution:<WorkflowStateMachine>[6]"

    # when, then
    assert allowed == {
        "lambda:InvokeFunction": {*zips, *own_versions, *OUTSIDE, *INSIDE},
        "dynamodb:PutItem": {TABLE_OF_RUNS},
        "states:StartExecution": {"<WorkflowStateMachine>"},
        "states:DescribeExecution": {f"{machine}:*"},
        "states:StopExecution": {f"{machine}:*"},
        "states:RedriveExecution": {f"{machine}/ranks:*"},
        **{f"logs:{verb}LogDelivery": {"*"} for verb in ("Create", "Delete", "Get", "Update")},
        "logs:ListLogDeliveries": {"*"},
        "logs:PutResourcePolicy": {"*"},
        "logs:DescribeResourcePolicies": {"*"},
        "logs:DescribeLogGroups": {"*"},
        **TRACES,
        "xray:GetSamplingRules": {"*"},
        "xray:GetSamplingTargets": {"*"},
    }


def test_whoever_polls_a_bucket_may_list_it(aws: Synthesised) -> None:
    # given the workers, who ask for objects that are not there yet; without this S3 answers 403, not 404
    for role in ("WorkersRoleoutside", "WorkersRoleinside"):
        # when
        allowed = aws.allowed(role)

        # then
        polled = {resource.removesuffix("/*") for resource in allowed["s3:GetObject"] if resource.startswith("<")}
        assert polled == {ARTIFACTS, EXCHANGE}
        assert polled <= allowed["s3:ListBucket"]


def test_workers_in_the_zone_may_open_sessions_with_the_directory_bucket(with_express: Synthesised) -> None:
    # given the role of the workers that exchange through it, and of those that do not
    inside, outside = with_express.allowed("WorkersRoleinside"), with_express.allowed("WorkersRoleoutside")

    # when, then
    assert inside["s3express:CreateSession"] == {"<StorageExpress.Arn>"}
    assert {action for action in (*inside, *outside) if action.startswith("s3express:")} == {"s3express:CreateSession"}
    assert "s3express:CreateSession" not in outside
