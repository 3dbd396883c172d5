"""Says in words what a JSON schema allows, for the sentences that refuse a value."""

import json
from collections.abc import Sequence
from typing import Any

Schema = dict[str, Any]
"""A JSON schema as pydantic writes it."""

_BOUNDS = {
    "minimum": "of at least",
    "exclusiveMinimum": "above",
    "maximum": "of at most",
    "exclusiveMaximum": "below",
}


def find(root: Schema, loc: Sequence[str | int]) -> tuple[list[str], Schema]:
    """Follow the place of a pydantic error into a schema.

    Parameters
    ----------
    loc
        Keys and indices, mixed with pydantic's names for validators and for the choices of a union.

    Returns
    -------
    tuple
        The keys and indices alone, as far as the schema knows them, and the schema there.
    """
    path: list[str] = []
    here = root
    for part in loc:
        inner = _inner(here, part, root)
        if inner is not None:
            path.append(str(part))
            here = inner
    return path, here


def keys_of(here: Schema, root: Schema) -> list[str]:
    """Keys of an object, also where an object is one of several choices."""
    return [key for choice in _choices(here, root) for key in choice.get("properties", {})]


def words(here: Schema, root: Schema) -> str:
    """What is allowed, such as ``a whole number of at least 1 or "auto"``; empty when that is anything."""
    return _joined([phrase for choice in _choices(here, root) for phrase in _phrases(choice, root)], "or")


def _inner(here: Schema, part: str | int, root: Schema) -> Schema | None:
    for choice in _choices(here, root):
        inner: Schema | None = choice.get("items") if isinstance(part, int) else choice.get("properties", {}).get(part)
        if inner is not None:
            return inner
    return None


def _choices(here: Schema, root: Schema) -> list[Schema]:
    """The alternatives of a schema, references followed."""
    if "$ref" in here:
        return _choices(root["$defs"][here["$ref"].rsplit("/", 1)[1]], root)
    if "anyOf" in here:
        return [choice for option in here["anyOf"] for choice in _choices(option, root)]
    return [here]


def _phrases(choice: Schema, root: Schema) -> list[str]:
    if "const" in choice:
        return [json.dumps(choice["const"])]
    if "enum" in choice:
        return [json.dumps(value) for value in choice["enum"]]
    match choice.get("type"):
        case "boolean":
            return ["true", "false"]
        case "null":
            return ["null"]
        case "integer":
            return ["a whole number" + _bounds(choice)]
        case "number":
            return ["a finite number" + _bounds(choice)]
        case "string":
            return ["a string" + _form(choice)]
        case "object":
            return ["an object" + _form(choice)]
        case "array":
            count = f" of {choice.get('minItems', 0)} to {choice['maxItems']} items" if "maxItems" in choice else ""
            return [f"a list{count}, each {words(choice['items'], root)}"]
    return []


def _bounds(choice: Schema) -> str:
    if "minimum" in choice and "maximum" in choice:
        return f" from {choice['minimum']} to {choice['maximum']}"
    return "".join(f" {name} {choice[key]}" for key, name in _BOUNDS.items() if key in choice)


def _form(choice: Schema) -> str:
    """What a string or an object looks like."""
    if "examples" in choice:
        return " like " + _joined([json.dumps(example) for example in choice["examples"]], "or")
    if "pattern" in choice:
        return f" that matches {choice['pattern']}"
    if "properties" in choice:
        return f" ({', '.join(choice['properties'])})"
    return ""


def _joined(phrases: Sequence[str], conjunction: str) -> str:
    return f" {conjunction} ".join(filter(None, [", ".join(phrases[:-1]), *phrases[-1:]]))
