"""The worker image as Lambda would run it: behind the Runtime API, read-only, with limited memory."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.twin import ROOT
from tests.e2e import small
from tests.e2e.deployment import Deployment, npz
from tests.image import podman
from tests.image.report import Report
from tests.image.sandbox import Sandbox, sandbox
from tests.image.worker import Worker

pytestmark = pytest.mark.image

COLD_STARTS = 5
UNKNOWN = {"action": "dance", "run_id": "none"}
CONTEXT = ("lambda_src/worker", "layers/paytrain/python/paytrain")
"""What .dockerignore lets into the build."""


@pytest.fixture(scope="module")
def job(deployed: Deployment, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """A small CNN with BatchNorm and Dropout, two workers, gradients over S3."""
    (x, y), (validation_x, validation_y) = small.data()
    folder = tmp_path_factory.mktemp("model")
    return small.job(
        deployed.upload("small.keras", small.model_bytes(folder, "own_state")),
        deployed.upload("train.npz", npz(x, y)),
        deployed.upload("validation.npz", npz(validation_x, validation_y)),
        workers=2,
        channel="s3",
    )


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[Path]:
    """A checkout whose handler cannot be imported."""
    for folder in CONTEXT:
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".dockerignore", tmp_path)
    handler = tmp_path / "lambda_src" / "worker" / "handler.py"
    handler.write_text(f"import a_package_that_nobody_has\n{handler.read_text()}")
    yield tmp_path
    podman.remove_dangling()


def test_containers_train_the_same_bits_as_the_twins_functions(
    deployed: Deployment, worker: Worker, job: dict[str, object], report: Report
) -> None:
    # given a run by the state machine, with zip functions and this machine's Python
    expected = deployed.run(job).receipt

    # when
    with worker.start() as first, worker.start() as second:
        run_id = worker.resolve(job)
        finished = worker.train(run_id, [first, second])
        report.peak_mb["after_training"] = max(first.peak_mb(), second.peak_mb())

    # then
    assert finished["status"] == expected["status"]
    assert finished["weights_sha256"] == expected["weights_sha256"]


def test_cold_starts(worker: Worker, job: dict[str, object], report: Report) -> None:
    # given
    prepare = {"action": "prepare", "run_id": worker.resolve(job)}

    for _ in range(COLD_STARTS):
        with worker.start() as one:
            # when
            report.init_seconds.append(one.init_seconds())
            report.init_cpu_seconds.append(one.cpu_seconds())
            report.peak_mb["after_init"] = one.peak_mb()
            seconds = []
            for _ in ("first", "warm"):
                answer, took = one.timed(prepare)
                seconds.append(took)

                # then
                assert not answer.error, answer.body
                assert answer.body["samples"] == small.SAMPLES
        report.first_prepare_seconds.append(seconds[0])
        report.warm_prepare_seconds.append(seconds[1])


def test_an_exception_comes_back_with_its_class_and_sentence_and_the_sandbox_lives_on(idle: Sandbox) -> None:
    # given, when
    first, second = idle.invoke(UNKNOWN), idle.invoke(UNKNOWN)

    # then
    assert first.error
    assert first.body["errorType"] == "ValueError"
    assert (
        first.body["errorMessage"] == 'action = "dance" is not allowed: it must be prepare, lap, finish or calibrate.'
    )
    assert second.body["errorMessage"] == first.body["errorMessage"]
    assert second.request_id != first.request_id
    assert podman.podman("inspect", "--format", "{{.State.Pid}} {{.RestartCount}}", idle.container).split() == [
        str(idle.pid),
        "0",
    ]


def test_only_tmp_can_be_written_to(idle: Sandbox) -> None:
    # given, when, then
    idle.execute("touch", "/tmp/written")
    for path in ("/var/task/written", "/written", "/root/written", "/dev/shm/written"):
        with pytest.raises(podman.ImageError, match="Read-only file system"):
            idle.execute("touch", path)


def test_the_memory_is_limited(idle: Sandbox) -> None:
    # given, when
    limit = podman.podman("inspect", "--format", "{{.HostConfig.Memory}}", idle.container)
    code = "bytearray(2_000_000_000)"

    # then
    assert int(limit) == Worker.MEMORY_MB * 1024 * 1024
    with pytest.raises(podman.ImageError, match="failed with 137"):
        idle.execute("python3", "-c", code)


def test_every_module_is_compiled(idle: Sandbox) -> None:
    # given a list of what the worker has imported, with the place of its bytecode
    code = (
        "import handler, os, sys; "
        "print(sorted(name for name, module in sys.modules.items() if getattr(module, '__file__', None) "
        "and module.__file__.startswith('/var/task') and module.__file__.endswith('.py') "
        "and not os.path.exists(module.__cached__)))"
    )

    # when
    uncompiled = idle.execute("python3", "-c", code)

    # then
    assert uncompiled.strip().splitlines()[-1] == "[]"


def test_nothing_is_left_that_no_program_imports(idle: Sandbox) -> None:
    # given
    code = (
        "import os; "
        "print([n for n in ('tensorflow/include', 'clang', 'numpy/_core/tests') if os.path.exists(n)], "
        "[f for _, _, files in os.walk('.') for f in files if f.endswith(('.pyi', '.h', '.a'))])"
    )

    # when
    left = idle.execute("python3", "-c", code)

    # then
    assert left.strip() == "[] []"


def test_a_wrong_environment_is_reported_as_a_failed_start(image: str) -> None:
    # given
    environment = {**Worker.PLACEHOLDERS, "RUN_TABLE": ""}

    # when
    with sandbox(image, environment, Worker.MEMORY_MB) as started:
        answer = started.answer()

    # then
    assert answer.error
    assert answer.request_id == ""
    assert "RUN_TABLE" in answer.body["errorMessage"]


@pytest.mark.usefixtures("image")
def test_an_image_whose_handler_cannot_be_imported_is_not_built(broken: Path) -> None:
    with pytest.raises(podman.ImageError, match="a_package_that_nobody_has"):
        podman.build(broken, "localhost/paytrain-broken")
