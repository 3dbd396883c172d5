"""The template as a whole, so that no change of it goes unseen.

After a change that is meant to be, renew it as ``RENEW`` says, and read the diff.
"""

import difflib
import json
import os
import re
from pathlib import Path

from tests.infrastructure.conftest import Synthesiser

SNAPSHOT = Path(__file__).with_name("template.snapshot.json")

RENEW = "RENEW_SNAPSHOT=1 pytest tests/infrastructure/test_snapshot.py"

_ASSET = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"(CurrentVersion[0-9A-F]{8})[0-9a-f]{32}")


def test_the_template_is_that_of_the_snapshot(synthesise_with: Synthesiser) -> None:
    # given what plain `cdk deploy` deploys, on whatever machine, without the hashes that follow every line of code
    template = json.dumps(synthesise_with(architecture="x86_64").template, indent=1, sort_keys=True)
    normalised = json.dumps(json.loads(_VERSION.sub(r"\1", _ASSET.sub("<asset>", template))), indent=1, sort_keys=True)

    # when
    if os.environ.get("RENEW_SNAPSHOT"):
        SNAPSHOT.write_text(normalised + "\n")
    changes = difflib.unified_diff(SNAPSHOT.read_text().splitlines(), normalised.splitlines(), lineterm="", n=1)

    # then
    assert "\n".join(changes) == "", f"if this is meant to be: {RENEW}"
