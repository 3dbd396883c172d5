import io
import json
from types import SimpleNamespace

import pytest
from rich.console import Console

from local import results, train
from local.execution import Snapshot
from local.terminal import LocalError


def line(service, item, quantity, unit, price):
    return {
        "service": service,
        "item": item,
        "quantity": quantity,
        "unit": unit,
        "price": price,
        "usd": quantity * price,
    }


RECEIPT = {
    "steps": 1410,
    "laps": 2,
    "workers": 4,
    "channel": "s3",
    "pattern": "leader",
    "wire": "float32",
    "seconds": 61.2,
    "usd": 0.018833,
    "weights_sha256": "ab" * 32,
    "evaluation": "skipped: no time was left",
    "prices_as_of": "2026-11-24, us-east-1",
    "lines": [
        line("Lambda", "workers", 123.456, "GB-s", 0.0000166667),
        line("Lambda", "plan", 0.25, "GB-s", 0.0000166667),
        line("Lambda", "resolve", 0.5, "GB-s", 0.0000166667),
        line("Lambda", "plan", 1, "requests", 2e-7),
        line("Lambda", "workers", 4, "requests", 2e-7),
        line("free of charge", "exchange up", 0.3, "GB", 0.0),
        {**line("ElastiCache", "cache.t4g.micro", 0.1, "node-hours", 0.016), "note": "a share"},
    ],
    "phases_total": {"start": 4.0, "compute": 40.0, "apply": 0.04},
    "phases": [
        {"rank": 0, "start": 1.0, "compute": 15.0, "apply": 0.02},
        {"rank": 1, "start": 3.0, "compute": 25.0, "apply": 0.02},
    ],
}


class Bucket:
    """The artifacts of a run, as boto3 would download them."""

    def __init__(self, **contents):
        self.contents = contents

    def download_file(self, bucket, key, path):
        name = key.rsplit("/", 1)[1]
        if name not in self.contents:
            missing = {"Error": {"Code": "404"}, "ResponseMetadata": {"HTTPStatusCode": 404}}
            raise results.ClientError(missing, "HeadObject")
        with open(path, "w") as file:
            json.dump(self.contents[name], file)


def stack_with(**contents):
    return SimpleNamespace(s3=Bucket(**contents), artifacts_bucket="artifacts")


def shown(files):
    output = io.StringIO()
    results.show(Console(file=output, width=120), files)
    return output.getvalue()


def test_a_run_is_fetched_and_is_the_latest(tmp_path):
    stack = stack_with(**{"model.keras": "weights", "receipt.json": RECEIPT})
    results.fetch(stack, "run-1", tmp_path)

    files = results.fetch(stack, "run-2", tmp_path)

    assert [path.name for path in files] == ["model.keras", "receipt.json"]
    assert (tmp_path / "latest").readlink().name == "run-2"
    assert json.loads((tmp_path / "latest" / "receipt.json").read_text()) == RECEIPT


def test_a_refusal_is_not_taken_for_a_missing_file(tmp_path):
    def refuse(*_):
        raise results.ClientError({"Error": {"Code": "403"}, "ResponseMetadata": {"HTTPStatusCode": 403}}, "HeadObject")

    stack = SimpleNamespace(s3=SimpleNamespace(download_file=refuse), artifacts_bucket="artifacts")

    with pytest.raises(results.ClientError, match="403"):
        results.fetch(stack, "run", tmp_path)


def test_epochs_bill_and_digest_are_shown(tmp_path):
    history = [{"loss": 0.3, "val_accuracy": 0.97}, {"loss": 0.2, "val_accuracy": 0.9861}]

    text = shown(results.fetch(stack_with(**{"history.json": history, "receipt.json": RECEIPT}), "run", tmp_path))

    assert ["2", "0.2000", "98.61", "%"] in [line.split() for line in text.splitlines()]
    assert ["workers", "123.456", "GB-s", "0.0000166667", "0.002058"] in [line.split() for line in text.splitlines()]
    assert "1,410 steps in 2 laps · 4 workers · s3, leader, float32 · 1 min 01 s · $0.0188" in text
    assert f"weights_sha256 {'ab' * 32}" in text
    assert "evaluation skipped: no time was left" in text


@pytest.mark.parametrize(("stopped_by", "sentence"), [("budget", "its budget"), ("deadline", "its deadline")])
def test_a_run_that_a_limit_has_stopped_says_so(tmp_path, stopped_by, sentence):
    receipt = RECEIPT | {"stopped_by": stopped_by, "results": {"loss": 0.25, "val_accuracy": 0.9824}}
    plan = {"total_steps": 2820}

    text = shown(results.fetch(stack_with(**{"receipt.json": receipt, "plan.json": plan}), "run", tmp_path))

    assert "1,410 of 2,820 steps in 2 laps" in text
    assert f"It was stopped at the last step that {sentence}" in text
    assert "results: loss 0.2500 · val_accuracy 98.24 %" in text


def test_what_the_planner_has_chosen_is_shown_with_its_reasons(tmp_path):
    receipt = RECEIPT | {"workers": 1, "laps": 1, "stopped_by": "last_step"}
    considered = {"reasons": ["It is good at both."], "advice": "Do not use Lambda for this."}
    plan = {"total_steps": 1410, "considered": considered}

    text = shown(results.fetch(stack_with(**{"receipt.json": receipt, "plan.json": plan}), "run", tmp_path))

    assert "plan: It is good at both." in text
    assert "plan: Do not use Lambda for this." in text
    assert "1,410 steps in 1 lap · 1 worker · nothing to exchange · " in text
    assert "stopped" not in text


def test_small_lines_are_shown_together_and_free_ones_apart(tmp_path):
    text = shown(results.fetch(stack_with(**{"receipt.json": RECEIPT}), "run", tmp_path))

    rows = [line.split() for line in text.splitlines()]
    assert ["control", "functions", "0.75", "GB-s", "0.0000166667", "0.000013"] in rows
    assert ["requests", "5", "requests", "0.0000002", "0.000001"] in rows
    assert ["cache.t4g.micro", "*", "0.1", "node-hours", "0.016", "0.001600"] in rows
    assert "* cache.t4g.micro: a share" in text
    assert "free of charge: exchange up 0.300 GB" in text


def test_phases_are_shown_as_mean_and_slowest_without_those_that_take_no_time(tmp_path):
    text = shown(results.fetch(stack_with(**{"receipt.json": RECEIPT}), "run", tmp_path))

    rows = [line.split() for line in text.splitlines()]
    assert ["seconds", "start", "compute"] in rows
    assert ["mean", "2.0", "20.0"] in rows
    assert ["slowest", "3.0", "25.0"] in rows


def test_the_bill_fits_a_terminal_of_80_columns(tmp_path):
    output = io.StringIO()
    files = results.fetch(stack_with(**{"receipt.json": RECEIPT}), "run", tmp_path)

    results.show(Console(file=output, width=80), files)

    first, last = "seconds start", "total"
    narrow, wide = (
        [row.rstrip() for row in text[text.index(first) : text.index(last)].splitlines()]
        for text in (output.getvalue(), shown(files))
    )
    assert narrow == wide


def test_a_run_that_left_nothing_shows_nothing_and_leaves_the_latest_alone(tmp_path):
    results.fetch(stack_with(**{"receipt.json": RECEIPT}), "run-1", tmp_path)
    assert shown(results.fetch(stack_with(), "run-2", tmp_path)) == ""
    assert (tmp_path / "latest").resolve().name == "run-1"
    assert not (tmp_path / "run-2").exists()


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        ("epochs = 0 is not allowed.", "epochs = 0 is not allowed."),
        ('{"errorMessage": "no data", "stackTrace": ["File ..."]}', "no data"),
        ("first line\nTraceback", "first line"),
        ("[1]", "[1]"),
        ("", "The execution ended as TIMED_OUT."),
    ],
)
def test_a_failure_is_told_in_one_line(cause, said):
    assert train.why(Snapshot("TIMED_OUT", None, None, (), cause=cause)) == said


@pytest.mark.parametrize(("status", "code"), [("SUCCEEDED", 0), ("FAILED", 1), ("ABORTED", 1)])
def test_only_success_is_an_exit_status_of_0(tmp_path, monkeypatch, status, code):
    output = io.StringIO()
    monkeypatch.setattr(train, "ROOT", tmp_path)
    monkeypatch.setattr(train, "console", Console(file=output, width=120))
    execution = SimpleNamespace(stack=stack_with(), run_id="run")

    assert train.finish(execution, Snapshot(status, None, None, (), cause="the arrays [x] and [bold]y")) == code

    # Brackets are the person's data, not markup.
    assert ("the arrays [x] and [bold]y" in output.getvalue()) == (code == 1)


def test_the_command_line_overrides_the_jobs_file(tmp_path):
    path = tmp_path / "job.json"
    path.write_text('{"epochs": 3, "channel": "s3", "workers": 4}')

    job = train.read_job(path, "", "memcached", 2, "epochs=1 seed=7")

    assert job == {"epochs": 1, "channel": "memcached", "workers": 2, "seed": 7}


def test_raw_json_stands_in_for_the_file(tmp_path):
    assert train.read_job(tmp_path / "absent.json", '{"epochs": 2}', "", None, "") == {"epochs": 2}


@pytest.mark.parametrize(("raw", "said"), [("{", "is not JSON"), ("[1]", "must be a JSON object")])
def test_input_that_is_no_job_is_refused(tmp_path, raw, said):
    with pytest.raises(LocalError, match=said):
        train.read_job(tmp_path, raw, "", None, "")


@pytest.mark.parametrize(
    ("job", "name"),
    [
        ({}, "mnist"),
        ({"model": "example:mnist"}, "mnist"),
        ({"model": "./my model.v2.keras"}, "my-model-v2"),
        ({"model": "s3://bucket/models/large.keras"}, "large"),
    ],
)
def test_a_run_has_the_name_of_its_model(job, name):
    assert train.name_of(job) == name
