"""make plan: a table, plan.json and plan.html from a job and a model, or from figures."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from local import plan

FIGURES = "parameters=1e6 step_seconds=0.2 samples=60000 validation_samples=1000"


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the results, apart from the checkout's own."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "cdk.json").write_text((plan.ROOT / "cdk.json").read_text())
    monkeypatch.setattr(plan, "ROOT", root)
    return root / "out" / "plan"


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job whose data are not here."""
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"data": {"train": "s3://bucket/train.npz"}, "epochs": 2}))
    return path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(plan.main, [*arguments])


def test_figures_are_enough(out: Path, job: Path) -> None:
    # When a job is planned by figures alone
    result = run("--job", str(job), "--model", FIGURES, "--deadline", "60")
    assert result.exit_code == 0, result.output
    # Then the answer is in plan.json
    answer = json.loads((out / "plan.json").read_text())
    assert answer["recommended"]["seconds"]["expected"] <= 3600
    parts = answer["recommended"]["usd_parts"].values()
    assert answer["recommended"]["usd"]["expected"] == pytest.approx(sum(part["expected"] for part in parts))
    assert {each["service"] for each in answer["alternatives"]} == {"EC2", "SageMaker"}
    # And on a page that needs nothing from elsewhere, with two pictures
    page = (out / "plan.html").read_text()
    assert not re.search(r"(src|href)=", page)
    pictures = re.findall(r"<svg.*?</svg>", page, re.S)
    assert len(pictures) == 2
    for picture in pictures:
        ElementTree.fromstring(picture)


def test_what_a_plan_needs_of_the_stack_is_said_beside_the_job_as_it_is_written(out: Path, job: Path) -> None:
    # When a job with values of its own is planned within a deadline that only more processors keep
    result = run("--job", str(job), "--model", FIGURES, "--deadline", "2", "--set", "workers=2 channel=s3")
    assert result.exit_code == 0, result.output
    answer = json.loads((out / "plan.json").read_text())
    # Then the recommendation says what must be deployed for it
    recommended = answer["recommended"]
    assert (f"-c worker_memory_sizes={recommended['memory_mb']}" in result.output) == (
        recommended["memory_mb"] not in (1769, 3008)
    )
    # And the job as it is has its figures, too
    written = answer["as_written"]
    assert [written[key] for key in ("workers", "memory_mb", "channel")] == [2, 1769, "s3"]
    assert written["seconds"]["expected"] > recommended["seconds"]["expected"]
    assert "As the job is written" in result.output


def test_measured_figures_stand_in_for_the_built_in_ones(out: Path, job: Path, tmp_path: Path) -> None:
    # Given a calibration that has found S3 a hundred times as fast
    operation = {"quantiles_ms": dict.fromkeys(("min", "p5", "p25", "p50", "p75", "p90", "p95", "p99"), 0.3)}
    operation |= {"lognormal": {"mu_ln_ms": -1.2, "sigma": 0.0}}
    where = {"date": "2026-11-25", "region": "us-east-1", "memory_mb": 1769, "samples": {"1024": 100}}
    profile = tmp_path / "profile.json"
    measured = {"_meta": {"measured": {"s3_standard": where}}, "s3_standard": {"put": operation, "get": operation}}
    profile.write_text(json.dumps(measured))
    # When the job is planned with it and without
    seconds = []
    for arguments in ([], ["--profile", str(profile)]):
        result = run("--job", str(job), "--model", FIGURES, *arguments)
        assert result.exit_code == 0, result.output
        front = json.loads((out / "plan.json").read_text())["front"]
        seconds.append(min(each["seconds"]["expected"] for each in front if each["channel"] == "s3"))
    # Then S3 is faster
    assert seconds[1] < seconds[0]
    # And table, page and plan.json say whose figures these are
    assert json.loads((out / "plan.json").read_text())["profile"] == "this account's, as measured on 2026-11-25"
    assert "services: this account's, as measured on 2026-11-25\n" in result.output
    assert "measured on 2026-11-25" in (out / "plan.html").read_text()


def test_the_recommended_plan_is_in_the_table_even_if_other_wires_beat_it(out: Path, job: Path) -> None:
    # When a job of a large model is planned, whose front is long and of lossy wires
    result = run("--job", str(job), "--model", "parameters=25e6 step_seconds=1.5 samples=1e6", "--budget", "20")
    assert result.exit_code == 0, result.output
    answer = json.loads((out / "plan.json").read_text())
    assert len(answer["front"]) > 12
    assert answer["recommended"]["wire"] == "float32"
    assert any(each["usd"]["expected"] < answer["recommended"]["usd"]["expected"] for each in answer["front"])
    # Then the table has it, says that it is not all, and a reason says why others are not recommended
    rows = [line for line in result.output.splitlines() if line.startswith("→ ")]
    assert str(answer["recommended"]["workers"]) in rows[0].split()
    assert f"12 of {len(answer['front'])}" in result.output
    assert "change the result: the job's own stay" in " ".join(result.output.split())


@pytest.mark.parametrize("figures", [FIGURES, "parameters=25e6 step_seconds=1.5 samples=1e6"])
def test_no_label_of_the_picture_covers_a_point(out: Path, job: Path, figures: str) -> None:
    result = run("--job", str(job), "--model", figures, "--budget", "20")
    assert result.exit_code == 0, result.output
    picture = re.findall(r"<svg.*?</svg>", (out / "plan.html").read_text(), re.S)[0]
    root = ElementTree.fromstring(picture)
    points = [(float(each.attrib["cx"]), float(each.attrib["cy"])) for each in root.iter("circle")]
    # Labels have a white text below them; a letter is about 7 wide and 9 high
    labels = [each for each in root.iter("text") if each.get("stroke") == "white"]
    assert len(labels) > 8
    for label in labels:
        left, base, text = float(label.attrib["x"]), float(label.attrib["y"]), label.text or ""
        covered = [(x, y) for x, y in points if left < x < left + 7 * len(text) and base - 9 < y < base]
        assert not covered, text


def test_a_job_that_cannot_run_as_it_is_written_is_told_why(out: Path, job: Path) -> None:
    result = run("--job", str(job), "--model", "parameters=400e6 step_seconds=1 samples=1e6")
    assert result.exit_code == 0, result.output
    assert json.loads((out / "plan.json").read_text())["as_written"] is None
    assert "with the defaults: No plan can work, such as 4 × 1769 MB" in " ".join(result.output.split())


def test_a_model_of_ones_own_needs_data_of_ones_own(out: Path, tmp_path: Path) -> None:
    path = tmp_path / "my.keras"
    path.touch()
    result = run("--job", "examples/mnist.json", "--model", str(path))
    assert result.exit_code != 0
    assert "my.keras needs its own data: add SET=" in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--model", FIGURES, "--profile", "nothing.json"], "PROFILE = nothing.json cannot be read"),
        (["--model", FIGURES, "--profile", "cdk.json"], "cdk.json cannot be used"),
        (["--budget", "much"], "BUDGET = much is not allowed: it must be a positive number."),
        (["--deadline", "-5"], "DEADLINE = -5 is not allowed: it must be a positive number."),
        (["--model", "parameters=1e6"], "is not on this machine: a plan needs it here, or"),
        (["--model", "parameters=1e6 samples=9"], "MODEL lacks step_seconds: it must be like"),
        (["--model", "layers=3 step_seconds=1"], "MODEL: layers=3 is not allowed; it must be one of parameters,"),
        (["--model", "parameters=-1 samples=2"], "MODEL: parameters=-1 is not allowed; parameters must be a positive"),
        (["--model", "samples=9 nothing.keras"], "MODEL: nothing.keras is not allowed"),
        (["--model", "nothing.keras"], "MODEL = nothing.keras is not allowed: it must be a .keras file here"),
        (["--set", "epochs=none"], "epochs"),
        (["--set", "data.trian=./x.npz"], "data.trian is not a key of a job: allowed in data are train, validation."),
    ],
)
def test_bad_input_is_refused_in_a_sentence(out: Path, job: Path, arguments: list[str], sentence: str) -> None:
    result = run("--job", str(job), *arguments)
    assert result.exit_code != 0
    assert sentence in result.output
    assert not out.exists()
