"""Findings of cdk-nag that are meant to be so, each for one resource and with its reason.

The rules are checked by the tests; the program that deploys does not need cdk-nag.
"""

import json
import re
from typing import Any

import aws_cdk as cdk
from constructs import IConstruct


def acknowledge(construct: IConstruct, rule: str, reason: str) -> None:
    """Accept a finding of a rule (``S1``, ``L1``, ...) on a construct."""
    accepted = cdk.Acknowledgment(id=f"AwsSolutions::AwsSolutions-{rule}", reason=reason)
    cdk.Validations.of(construct).acknowledge(accepted)


def acknowledge_wildcard(construct: IConstruct, resource: str, reason: str) -> None:
    """Accept that a policy below the construct names a resource with a wildcard; other wildcards stay findings."""
    name = _flat(cdk.Stack.of(construct).resolve(resource))
    acknowledge(construct, f"IAM5[Resource::{name}]", reason)


def _flat(value: Any) -> str:
    """Write a resolved CloudFormation value as cdk-nag does in a finding's name."""
    if isinstance(value, str):
        return value
    ((function, argument),) = value.items()
    if function == "Fn::Join":
        return "".join(_flat(part) for part in argument[1])
    if function == "Ref":
        return f"<{argument}>"
    if function == "Fn::GetAtt":
        return f"<{'.'.join(argument)}>"
    if function == "Fn::Sub":
        return re.sub(r"\$\{([^}]+)\}", r"<\1>", argument)
    return json.dumps(value, separators=(",", ":"))
