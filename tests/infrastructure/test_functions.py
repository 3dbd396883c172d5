"""Functions: versions, environment, packing, and where they run."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure.templates import Synthesised, flat

ENVIRONMENT_BYTES = 4096
LONGEST = {"AWS::Lambda::Version": 160, "AWS::S3::Bucket": 63, "AWS::DynamoDB::Table": 100}
"""Characters of what a reference to a resource becomes; an ARN of a version has a function's name of 64."""


def functions(stack: Synthesised, start: str = "") -> dict[str, dict[str, Any]]:
    """Logical id without CDK's hash → properties."""
    found = stack.resources("AWS::Lambda::Function").items()
    return {name[:-8]: resource["Properties"] for name, resource in found if name.startswith(start)}


def environment(stack: Synthesised, function: str) -> dict[str, str]:
    """Variables of a function, references readable."""
    variables = functions(stack)[function]["Environment"]["Variables"]
    return {name: flat(value) for name, value in variables.items()}


def test_there_is_a_worker_inside_and_one_outside_for_every_memory_size(aws: Synthesised) -> None:
    # given, when
    sizes = {name: worker["MemorySize"] for name, worker in functions(aws, "Workers").items()}

    # then
    assert sizes == {
        "Workersworker1769": 1769,
        "Workersworker1769vpc": 1769,
        "Workersworker3008": 3008,
        "Workersworker3008vpc": 3008,
    }


def test_workers_have_the_room_and_the_time_that_the_settings_say(
    aws: Synthesised, with_everything: Synthesised
) -> None:
    for stack, room in ((aws, 512), (with_everything, 10240)):
        for worker in functions(stack, "Workers").values():
            assert (worker["EphemeralStorage"], worker["Timeout"]) == ({"Size": room}, 900)


def test_only_the_inside_workers_are_in_the_isolated_subnets(aws: Synthesised) -> None:
    for name, function in functions(aws).items():
        assert ("VpcConfig" in function) == name.endswith("vpc"), name
        if name.endswith("vpc"):
            assert [flat(subnet)[:26] for subnet in function["VpcConfig"]["SubnetIds"]] == [
                "<NetworkVpcworkersSubnet1S"
            ]


def test_plan_and_stop_run_know_the_published_versions(aws: Synthesised) -> None:
    # given
    expected = {
        str(size): {
            "outside": f"<Workersworker{size}CurrentVersion>",
            "inside": f"<Workersworker{size}vpcCurrentVersion>",
        }
        for size in (1769, 3008)
    }

    # when, then
    for function in ("Functionsresolve", "Functionsplan", "Functionsstoprun"):
        assert json.loads(environment(aws, function)["WORKER_FUNCTIONS"]) == expected


def test_versions_outlive_the_deployment_that_replaces_them(aws: Synthesised) -> None:
    versions = aws.resources("AWS::Lambda::Version")

    assert len(versions) == 8
    assert {version["DeletionPolicy"] for version in versions.values()} == {"RetainExceptOnCreate"}


def test_a_worker_is_not_retried_behind_the_relays_back(aws: Synthesised) -> None:
    # given
    configurations = [c["Properties"] for c in aws.resources("AWS::Lambda::EventInvokeConfig").values()]

    # when
    retries = {flat(c["FunctionName"]): c["MaximumRetryAttempts"] for c in configurations}

    # then
    assert retries == {f"<{name}>": 0 for name in functions(aws, "Workers")}


def test_resolve_knows_defaults_examples_and_buckets(aws: Synthesised) -> None:
    # given
    variables = environment(aws, "Functionsresolve")

    # when
    examples = json.loads(variables["EXAMPLES"])

    # then
    assert json.loads(variables["JOB_DEFAULTS"])["workers"] == 4
    assert json.loads(variables["DATA_BUCKETS"]) == []
    assert examples["mnist"].keys() == {"model", "train", "validation"}
    assert examples["mnist"]["model"].startswith("s3://cdk-hnb659fds-assets-")
    assert examples["mnist"]["model"].endswith(".keras")


def test_plan_knows_the_cache_and_the_limits(aws: Synthesised) -> None:
    # given
    variables = environment(aws, "Functionsplan")

    # when
    numbers = {name: variables[name] for name in variables if name.endswith(("_SECONDS", "_BYTES", "_ATTEMPTS"))}

    # then
    host, port = variables["CACHE_ENDPOINT"].split(":")
    assert (host, port) == ("<CacheCluster.ConfigurationEndpoint.Address>", "<CacheCluster.ConfigurationEndpoint.Port>")
    assert numbers == {
        "WORKER_TIMEOUT_SECONDS": "900",
        "PEER_TIMEOUT_SECONDS": "30",
        "GANG_TIMEOUT_SECONDS": "120",
        "MAX_ATTEMPTS": "3",
        "CACHE_ITEM_BYTES": str(8 * 2**20),
    }
    bill = {name: variables[name] for name in ("CACHE_NODE_TYPE", "CACHE_NODES", "NOTIFIES")}
    assert bill == {"CACHE_NODE_TYPE": "cache.t4g.micro", "CACHE_NODES": "1", "NOTIFIES": "false"}


def test_workers_write_below_tmp_only(aws: Synthesised) -> None:
    for name in functions(aws, "Workers"):
        variables = environment(aws, name)
        assert (variables["HOME"], variables["KERAS_HOME"]) == ("/tmp", "/tmp/.keras")
        assert variables["TMP_MB"] == "512", "of which the bill must know"
        assert variables["EXCHANGE_TABLE"] == "<StorageExchangeTable>"


def test_workers_know_the_deployed_memory_sizes_and_keep_little_freed_memory(aws: Synthesised) -> None:
    for name in functions(aws, "Workers"):
        variables = environment(aws, name)
        assert json.loads(variables["WORKER_MEMORY_SIZES"]) == [1769, 3008]
        assert variables["MALLOC_ARENA_MAX"] == "2"
        assert variables["TF_ONEDNN_USE_SYSTEM_ALLOCATOR"] == "1"


@pytest.mark.parametrize("form", ["aws", "with_everything"])
def test_the_environment_fits(form: str, request: pytest.FixtureRequest) -> None:
    # given
    stack: Synthesised = request.getfixturevalue(form)
    longest = {f"<{name}>": LONGEST.get(r["Type"], 0) for name, r in stack.template["Resources"].items()}

    for name, function in functions(stack).items():
        # when every reference is as long as it can become
        variables = function.get("Environment", {}).get("Variables", {})
        size = sum(len(key) + _longest(value, longest) for key, value in variables.items())

        # then
        assert size < ENVIRONMENT_BYTES, name


def test_on_aws_workers_are_images_of_the_repository_without_the_rest_of_it(aws: Synthesised) -> None:
    # given
    assets = json.loads((aws.folder / "paytrain-dev.assets.json").read_text())

    # when
    (image,) = assets["dockerImages"].values()
    context = aws.folder / image["source"]["directory"]
    files = {str(file.relative_to(context)) for file in context.rglob("*") if file.is_file()}

    # then
    assert {worker["PackageType"] for worker in functions(aws, "Workers").values()} == {"Image"}
    assert {"lambda_src/worker/Dockerfile", "layers/paytrain/python/paytrain/job.py"} <= files
    assert all(file.startswith(("lambda_src/worker/", "layers/paytrain/", ".dockerignore")) for file in files)
    assert not [file for file in files if "__pycache__" in file]


@pytest.mark.parametrize(("architecture", "platform"), [("arm64", "linux/arm64"), ("x86_64", "linux/amd64")])
def test_the_image_is_built_for_the_functions_architecture(
    architecture: str, platform: str, synthesise_with: Any
) -> None:
    # given, when
    stack = synthesise_with(architecture=architecture)
    assets = json.loads((stack.folder / "paytrain-dev.assets.json").read_text())

    # then
    assert [image["source"]["platform"] for image in assets["dockerImages"].values()] == [platform]
    assert {tuple(function["Architectures"]) for function in functions(stack).values()} == {(architecture,)}


def test_codebuild_gets_what_docker_would_and_forgets_its_logs(codebuild: Synthesised) -> None:
    # given
    assets = json.loads((codebuild.folder / "paytrain-dev.assets.json").read_text())
    build = codebuild.properties("Custom::CDKContainerImageBuild")

    # when
    source = flat(build["sourceS3Url"])
    (context,) = [
        codebuild.folder / file["source"]["path"]
        for key, file in assets["files"].items()
        if key in json.dumps(build["sourceS3Url"])
    ]
    files = {str(file.relative_to(context)) for file in context.rglob("*") if file.is_file()}
    groups = codebuild.resources("AWS::Logs::LogGroup").values()

    # then it is built without Docker on this machine, and without attestations, which Lambda refuses
    assert not assets.get("dockerImages")
    assert source.endswith("/<asset>.zip")
    assert {"lambda_src/worker/Dockerfile", "layers/paytrain/python/paytrain/job.py"} <= files
    assert all(file.startswith(("lambda_src/worker/", "layers/paytrain/")) for file in files)
    assert "--file lambda_src/worker/Dockerfile" in build["buildCommand"]
    assert "--provenance=false" in build["buildCommand"]
    assert {group["Properties"]["RetentionInDays"] for group in groups} == {30}


def test_another_source_is_another_version_although_codebuild_names_the_image_later(
    synthesise_with: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a worker of one file
    monkeypatch.setattr("stacks.codebuild.ROOT", tmp_path)
    (tmp_path / ".dockerignore").write_text("")
    source = tmp_path / "handler.py"

    # when it is changed and changed back
    versions = []
    for content in ("one", "two", "one"):
        source.write_text(content)
        stack = synthesise_with(image_build="codebuild", cache_mode="none", worker_memory_sizes=[1769])
        versions += [name for name in stack.resources("AWS::Lambda::Version") if name.startswith("Workers")]

    # then
    assert versions[0] != versions[1]
    assert versions[0] == versions[2]


def test_the_twin_runs_everything_from_zips_with_its_own_interpreter(twin: Synthesised) -> None:
    # given
    assets = json.loads((twin.folder / "paytrain-dev.assets.json").read_text())

    # when
    found = functions(twin)

    # then
    assert not assets.get("dockerImages")
    assert {f["Runtime"] for f in found.values()} == {f"python{sys.version_info.major}.{sys.version_info.minor}"}
    for function in found.values():
        dependencies, library = sorted(flat(layer) for layer in function["Layers"])
        assert dependencies.startswith("<LayersDependencies")
        assert library.startswith("<LayersPaytrain")


def test_without_a_cache_there_is_nothing_inside(without_cache: Synthesised) -> None:
    # given
    types = {resource["Type"] for resource in without_cache.template["Resources"].values()}

    # when
    known = json.loads(environment(without_cache, "Functionsplan")["WORKER_FUNCTIONS"])

    # then
    assert not [name for name in types if name.startswith(("AWS::EC2", "AWS::ElastiCache"))]
    assert {tuple(places) for places in known.values()} == {("outside",)}
    assert environment(without_cache, "Functionsplan")["CACHE_ENDPOINT"] == ""
    assert "CacheEndpoint" not in without_cache.template["Outputs"]


def test_every_function_is_traced_and_logs_into_a_group_that_forgets(aws: Synthesised) -> None:
    # given
    groups = {name: group["Properties"] for name, group in aws.resources("AWS::Logs::LogGroup").items()}

    # when
    used = [function["LoggingConfig"]["LogGroup"]["Ref"] for function in functions(aws).values()]

    # then
    assert len(set(used)) == len(functions(aws)) == 9
    assert set(used) < set(groups)
    assert {group["RetentionInDays"] for group in groups.values()} == {30}
    assert {function["TracingConfig"]["Mode"] for function in functions(aws).values()} == {"Active"}


def _longest(value: Any, longest: dict[str, int]) -> int:
    """Length of a value when CloudFormation has put in what its references stand for."""
    if isinstance(value, str):
        return len(value)
    ((function, argument),) = value.items()
    if function == "Fn::Join":
        return sum(_longest(part, longest) for part in argument[1])
    if function == "Ref":
        return longest.get(f"<{argument}>") or len("us-gov-west-1")
    assert function in ("Fn::Sub", "Fn::GetAtt")
    return 100
