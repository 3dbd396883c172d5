import json
from types import SimpleNamespace

import pytest

from local import deploy as module
from local.deploy import deploy, digest, relevant_output


@pytest.fixture
def checkout(tmp_path):
    for name in ("app.py", "stacks/stack.py", "lambda_src/plan/handler.py", "layers/paytrain/job.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1")
    return tmp_path


@pytest.mark.parametrize(
    "changed", ["app.py", "stacks/stack.py", "layers/paytrain/job.py", "stacks/new.py", "cdk.json"]
)
def test_the_digest_changes_with_what_is_deployed(checkout, changed):
    before = digest(checkout, [])

    (checkout / changed).write_text("x = 2")

    assert digest(checkout, []) != before


def test_the_digest_changes_when_a_file_moves(checkout):
    before = digest(checkout, [])

    (checkout / "stacks/stack.py").rename(checkout / "stacks/renamed.py")

    assert digest(checkout, []) != before


def test_the_digest_changes_with_the_arguments(checkout):
    assert digest(checkout, ["a=1", "a=2"]) != digest(checkout, ["a=2", "a=1"])


@pytest.mark.parametrize(
    "changed", ["README.md", "stacks/__pycache__/stack.pyc", "layers/paytrain/paytrain.egg-info/PKG-INFO", "tests/t.py"]
)
def test_the_digest_does_not_change_with_what_is_not_deployed(checkout, changed):
    before = digest(checkout, [])

    path = checkout / changed
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x = 2")

    assert digest(checkout, []) == before


@pytest.fixture
def world(checkout, monkeypatch):
    """A twin whose CDK only keeps a list of its commands, and deploys in no time."""
    world = SimpleNamespace(folder=checkout / "twin", commands=[], statuses={})
    world.folder.mkdir()

    def cdk(arguments, folder, log):
        world.commands.append(arguments[0])
        stack = module.BOOTSTRAP_STACK if arguments[0] == "bootstrap" else arguments[1]
        world.statuses[stack] = "CREATE_COMPLETE"

    sts = SimpleNamespace(get_caller_identity=lambda: {"Account": "000000000000"})
    monkeypatch.setattr(module, "ROOT", checkout)
    monkeypatch.setattr(module, "_cdk", cdk)
    monkeypatch.setattr(module, "_status", lambda stack: world.statuses.get(stack, "ABSENT"))
    monkeypatch.setattr(module, "_admit_plain_http", lambda account: None)
    monkeypatch.setattr(module.boto3, "client", lambda service: sts)
    return world


def test_a_new_twin_is_bootstrapped_and_then_deployed_into(world):
    deploy(world, "paytrain-dev", [])

    assert world.commands == ["bootstrap", "deploy"]


def test_nothing_is_done_twice(world):
    deploy(world, "paytrain-dev", [("workers", "2")])
    deploy(world, "paytrain-dev", [("workers", "2")])

    assert world.commands == ["bootstrap", "deploy"]


def test_another_context_is_deployed(world):
    for workers in ("2", "4", "2"):
        deploy(world, "paytrain-dev", [("workers", workers)])

    assert world.commands == ["bootstrap", "deploy", "deploy", "deploy"]


def test_a_stack_that_somebody_removed_is_deployed_again(world):
    deploy(world, "paytrain-dev", [])
    del world.statuses["paytrain-dev"]

    deploy(world, "paytrain-dev", [])

    assert world.commands == ["bootstrap", "deploy", "deploy"]


def test_a_deployment_that_failed_is_not_taken_for_done(world, monkeypatch):
    deploy(world, "paytrain-dev", [("workers", "2")])

    def fail(arguments, folder, log):
        raise module.LocalError("cdk deploy failed")

    with monkeypatch.context() as patched:
        patched.setattr(module, "_cdk", fail)
        with pytest.raises(module.LocalError):
            deploy(world, "paytrain-dev", [("workers", "4")])
    deploy(world, "paytrain-dev", [("workers", "2")])

    assert world.commands == ["bootstrap", "deploy", "deploy"]
    assert json.loads((world.folder / "paytrain-dev.json").read_text())


def test_of_a_failed_deployment_the_failures_are_shown():
    output = """
paytrain-dev |  0/12 | CREATE_IN_PROGRESS | AWS::S3::Bucket | Artifacts
paytrain-dev |  1/12 | CREATE_FAILED      | AWS::S3::Bucket | Artifacts the name is taken
paytrain-dev |  2/12 | CREATE_COMPLETE    | AWS::S3::Bucket | Exchange
❌  paytrain-dev failed
"""
    assert relevant_output(output).splitlines() == [
        "paytrain-dev |  1/12 | CREATE_FAILED      | AWS::S3::Bucket | Artifacts the name is taken",
        "❌  paytrain-dev failed",
    ]


def test_of_a_failed_synthesis_the_end_is_shown():
    output = 'a\nb\nworkers = "abc" is not allowed.\npython3 app.py: Subprocess exited with error 1\n\n'

    assert relevant_output(output, lines=2).splitlines() == ["b", 'workers = "abc" is not allowed.']
