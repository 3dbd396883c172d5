"""The sentence in what Step Functions reports of a failure."""

import json

import pytest

from paytrain.store import explained

SENTENCE = "workers = 0 is not allowed: it must be a whole number from 1 to 1000."


@pytest.mark.parametrize(
    ("cause", "sentence"),
    [
        (json.dumps({"errorMessage": SENTENCE, "errorType": "JobError", "stackTrace": ["..."]}), SENTENCE),
        (SENTENCE, SENTENCE),
        ("", ""),
        # Lambda's own report of a sandbox that died has no message of ours.
        (json.dumps({"errorType": "Runtime.ExitError"}), '{"errorType": "Runtime.ExitError"}'),
        (json.dumps({"errorMessage": ""}), '{"errorMessage": ""}'),
        ('["a", "list"]', '["a", "list"]'),
        ("900", "900"),
    ],
)
def test_a_functions_message_is_found_and_all_else_is_kept(cause: str, sentence: str) -> None:
    assert explained(cause) == sentence
