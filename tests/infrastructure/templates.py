"""Synthesised stacks, and readable forms of what is in their templates."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aws_cdk as cdk

from stacks.paytrain_stack import PaytrainStack
from stacks.settings import read_settings

ROOT = Path(__file__).resolve().parents[2]
CONTEXT: dict[str, Any] = json.loads((ROOT / "cdk.json").read_text())["context"]

_LOGICAL_ID_HASH = re.compile(r"<([A-Za-z0-9]+?)[0-9A-F]{8}(?:[0-9a-f]{32})?(?=[.>])")
_ASSET = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Synthesised:
    """A stack in its cloud assembly.

    Attributes
    ----------
    folder
        Of the assembly.
    template
        As CloudFormation gets it.
    """

    folder: Path
    template: dict[str, Any]

    def resources(self, resource_type: str) -> dict[str, dict[str, Any]]:
        """Logical id → resource, of one type."""
        return {name: r for name, r in self.template["Resources"].items() if r["Type"] == resource_type}

    def properties(self, resource_type: str, logical_id_start: str = "") -> dict[str, Any]:
        """Properties of the only resource of a type whose logical id begins so."""
        (found,) = [r for name, r in self.resources(resource_type).items() if name.startswith(logical_id_start)]
        properties: dict[str, Any] = found["Properties"]
        return properties

    def allowed(self, role_start: str) -> dict[str, set[str]]:
        """Action → resources, of all policies of the only role whose logical id begins so."""
        (role,) = [name for name in self.resources("AWS::IAM::Role") if name.startswith(role_start)]
        actions: dict[str, set[str]] = {}
        for policy in self.resources("AWS::IAM::Policy").values():
            if {"Ref": role} in policy["Properties"]["Roles"]:
                for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
                    assert statement["Effect"] == "Allow"
                    for action in _listed(statement["Action"]):
                        actions.setdefault(action, set()).update(map(flat, _listed(statement["Resource"])))
        return actions

    def definition(self) -> dict[str, Any]:
        """The state machine's definition."""
        text = flat(self.properties("AWS::StepFunctions::StateMachine")["DefinitionString"])
        parsed: dict[str, Any] = json.loads(text)
        return parsed


def synthesise(app: cdk.App, context: Mapping[str, Any]) -> Synthesised:
    """Build and synthesise the stack that a context asks for."""
    settings = read_settings(context)
    stack = PaytrainStack(app, f"paytrain-{settings.stage}", settings=settings)
    assembly = app.synth()
    artifact = assembly.get_stack_by_name(stack.stack_name)
    return Synthesised(Path(assembly.directory), json.loads(Path(artifact.template_full_path).read_text()))


def flat(value: Any) -> str:
    """Write a value as one string, references as ``<LogicalId.Attribute>`` without CDK's hashes."""
    return _ASSET.sub("<asset>", _LOGICAL_ID_HASH.sub(r"<\1", _joined(value)))


def states(definition: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and state, those inside of maps included."""
    for name, state in definition["States"].items():
        yield name, state
        if "ItemProcessor" in state:
            yield from states(state["ItemProcessor"])


def _joined(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(_joined, value))
    ((function, argument),) = value.items()
    if function == "Fn::Join":
        return str(argument[0]).join(map(_joined, argument[1]))
    if function == "Ref":
        return f"<{argument}>"
    if function == "Fn::GetAtt":
        return f"<{'.'.join(argument)}>"
    if function == "Fn::Sub":
        return re.sub(r"\$\{([^}]+)\}", r"<\1>", argument)
    if function == "Fn::Select":
        return f"{_joined(argument[1])}[{argument[0]}]"
    if function == "Fn::Split":
        return _joined(argument[1])
    raise ValueError(f"A template has {function}, which these tests cannot read.")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
