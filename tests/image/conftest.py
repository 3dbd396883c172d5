"""The image, a twin of its own with the real stack, and the report at the end."""

import os
import time
from collections.abc import Iterator

import boto3
import pytest

from local.deploy import deploy
from local.twin import ROOT, Twin
from paytrain import store
from tests.e2e.deployment import Deployment
from tests.image import podman
from tests.image.report import Report
from tests.image.sandbox import Sandbox, sandbox
from tests.image.worker import Worker
from tests.servers import free_port

CACHE_HOST = f"127.78.{os.getpid() % 250 + 1}.1"
STAGE = "image"
REPORT = Report()


@pytest.fixture(scope="session")
def report() -> Report:
    return REPORT


@pytest.fixture(scope="session")
def image(report: Report) -> Iterator[str]:
    """The worker image, from this checkout's own Dockerfile."""
    podman.ensure_base()
    began = time.monotonic()
    podman.build(ROOT, podman.WORKER)
    report.build_seconds = time.monotonic() - began
    report.image_mb, report.base_mb = podman.size_mb(podman.WORKER), podman.size_mb(podman.BASE)
    podman.remove_dangling()
    yield podman.WORKER
    podman.release()


@pytest.fixture(scope="session")
def deployed() -> Iterator[Deployment]:
    """The real stack in a twin of the tests' own."""
    before = dict(os.environ)
    twin = Twin(free_port(), CACHE_HOST)
    twin.start()
    try:
        twin.use()
        boto3.setup_default_session()
        store.client.cache_clear()
        deploy(twin, f"paytrain-{STAGE}", [("packaging", "zip"), ("stage", STAGE), ("cache_mode", "none")])
        yield Deployment(STAGE)
    finally:
        store.client.cache_clear()
        twin.stop()
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def idle(image: str) -> Iterator[Sandbox]:
    """A sandbox that has no AWS to talk to."""
    with sandbox(image, Worker.PLACEHOLDERS, Worker.MEMORY_MB) as started:
        yield started


@pytest.fixture(scope="session")
def worker(deployed: Deployment, image: str) -> Worker:
    """The deployed worker function, as the container will be it."""
    return Worker(deployed, image)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if REPORT.image_mb:
        REPORT.write()
        terminalreporter.section("worker image")
        for line in REPORT.lines():
            terminalreporter.write_line(line)
