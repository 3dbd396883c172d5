"""The rules of others: cdk-nag's AwsSolutions, cfn-lint, and that a second synthesis changes nothing."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from cdk_nag import AwsSolutionsChecks
from cfnlint.api import lint

from tests.infrastructure.conftest import KEY, Synthesiser
from tests.infrastructure.templates import CONTEXT, Synthesised, flat, synthesise

FUNCTION_ARN = "arn:aws:lambda:us-east-1:123456789012:function:name:1"
REDUNDANT_DEPENDS_ON = "W3005"
"""CDK repeats in DependsOn what a reference says already."""


@pytest.mark.parametrize(
    "context",
    [
        {},
        {"cache_mode": "none"},
        {"cache_mode": "per_execution"},
        {"removal_policy": "destroy", "data_buckets": f"my-data={KEY}", "architecture": "arm64"},
        {"image_build": "codebuild", "notify_email": "me@example.com"},
        {"availability_zone_id": "use1-az4"},
    ],
    ids=["default", "no cache", "own caches", "destroy", "codebuild and e-mail", "S3 Express"],
)
def test_cdk_nag_finds_nothing_that_is_not_explained(context: dict[str, Any], tmp_path: Path) -> None:
    # given
    everything = {**CONTEXT, **context}
    app = cdk.App(context=everything, outdir=str(tmp_path))
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))

    # when; findings fail the synthesis
    synthesise(app, everything)

    # then
    reports = json.loads((tmp_path / "validation-report.json").read_text())["pluginReports"]
    (nag,) = [report for report in reports if report["pluginName"] == "AwsSolutions"]
    assert nag["violations"] == []


def test_cdk_nag_would_find_something(tmp_path: Path) -> None:
    # given a stack with an open bucket
    app = cdk.App(outdir=str(tmp_path))
    cdk.aws_s3.CfnBucket(cdk.Stack(app, "Stack"), "Bucket")
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))

    # when, then
    with pytest.raises(Exception, match="AwsSolutions-S1"):
        app.synth()


@pytest.mark.parametrize(
    "form", ["aws", "twin", "without_cache", "own_caches", "with_express", "codebuild", "notifying", "with_everything"]
)
def test_cfn_lint_accepts_the_template_and_the_state_machine(form: str, request: pytest.FixtureRequest) -> None:
    # given the template with the definition as one string, which cfn-lint can read
    stack: Synthesised = request.getfixturevalue(form)
    template = json.loads(json.dumps(stack.template))
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::StepFunctions::StateMachine":
            resource["Properties"]["DefinitionString"] = _with_arns(flat(resource["Properties"]["DefinitionString"]))

    # when
    found = lint(json.dumps(template))

    # then
    assert [str(match) for match in found if match.rule.id != REDUNDANT_DEPENDS_ON] == []


def test_cfn_lint_reads_the_state_machine(aws: Synthesised) -> None:
    # given a definition with a state that leads nowhere
    template = json.loads(json.dumps(aws.template))
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::StepFunctions::StateMachine":
            definition = json.loads(flat(resource["Properties"]["DefinitionString"]))
            definition["States"]["Plan"]["Type"] = "Tusk"
            resource["Properties"]["DefinitionString"] = json.dumps(definition)

    # when, then
    assert any("Tusk" in str(match) for match in lint(json.dumps(template)))


def test_a_validator_of_the_states_language_accepts_every_definition(
    aws: Synthesised,
    twin: Synthesised,
    without_cache: Synthesised,
    own_caches: Synthesised,
    notifying: Synthesised,
    tmp_path: Path,
) -> None:
    # given the definitions of every kind of deployment, and one that says where it goes on in a wrong way
    command = ["asl-validator"]
    stacks = {"aws": aws, "twin": twin, "without": without_cache, "own": own_caches, "notifying": notifying}
    for name, stack in stacks.items():
        file = tmp_path / f"{name}.json"
        file.write_text(_with_arns(json.dumps(stack.definition())))
        command += ["--json-path", str(file)]
    broken = json.loads(_with_arns(json.dumps(aws.definition())))
    broken["States"]["Plan"]["Next"] = "Nowhere"
    (tmp_path / "broken.json").write_text(json.dumps(broken))

    # when
    accepted = subprocess.run(command, capture_output=True, text=True)
    refused = subprocess.run(["asl-validator", "--json-path", str(tmp_path / "broken.json")], capture_output=True)

    # then
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr
    assert refused.returncode == 1


def test_synthesising_again_changes_nothing(aws: Synthesised, synthesise_with: Synthesiser) -> None:
    # given the stack, when made once more from the same files, then nothing would be deployed
    assert synthesise_with().template == aws.template


def _with_arns(definition: str) -> str:
    """The definition as Step Functions gets it: with something that looks right in place of every reference."""
    with_functions = re.sub(r"<\w+CurrentVersion>", FUNCTION_ARN, definition.replace("<AWS::Partition>", "aws"))
    return re.sub(r"<\w+>", "name", with_functions)
