import pytest

from local.pairs import override, split_pairs
from local.terminal import LocalError


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("", []),
        ("  \n ", []),
        ("epochs=1", [("epochs", "1")]),
        ("epochs=1  batch_size=32", [("epochs", "1"), ("batch_size", "32")]),
        ("model=./my model.keras epochs=1", [("model", "./my model.keras"), ("epochs", "1")]),
        ('early_stopping={"patience": 2} seed=3', [("early_stopping", '{"patience": 2}'), ("seed", "3")]),
        ("model=s3://bucket/a=b.keras", [("model", "s3://bucket/a=b.keras")]),
        ("empty=", [("empty", "")]),
        ("@aws-cdk/core:flag=true", [("@aws-cdk/core:flag", "true")]),
    ],
)
def test_pairs_are_split_at_the_next_key(text, pairs):
    assert split_pairs(text) == pairs


@pytest.mark.parametrize("text", ["epochs", "epochs 3", "=3", "epochs = 3"])
def test_what_is_no_pair_is_refused_with_the_way_to_write_it(text):
    with pytest.raises(LocalError, match="write key=value"):
        split_pairs(text)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("3", 3),
        ("0.5", 0.5),
        ("false", False),
        ("null", None),
        ("s3", "s3"),
        ("[1, 2]", [1, 2]),
        ('"3"', "3"),
        ("", ""),
    ],
)
def test_values_are_json_where_they_can_be_and_else_strings(written, value):
    assert override({}, f"key={written}") == {"key": value}


def test_dots_lead_into_objects_and_keep_their_other_keys():
    job = {"early_stopping": {"monitor": "loss", "patience": 1}}

    changed = override(job, "early_stopping.patience=2")

    assert changed == {"early_stopping": {"monitor": "loss", "patience": 2}}
    assert job == {"early_stopping": {"monitor": "loss", "patience": 1}}


def test_dots_replace_what_is_not_an_object():
    changed = override({"data": "example:mnist"}, "data.train=./x.npz data.validation=./v.npz")

    assert changed == {"data": {"train": "./x.npz", "validation": "./v.npz"}}


def test_of_two_values_the_last_one_counts():
    assert override({"epochs": 9}, "epochs=1 epochs=2") == {"epochs": 2}
