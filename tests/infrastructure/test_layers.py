"""The layer of third-party packages: installed once, for the functions' platform."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from stacks import layers


@pytest.fixture
def requirements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty list of requirements, and a folder of its own to install into."""
    file = tmp_path / "requirements.txt"
    file.write_text("")
    monkeypatch.setattr(layers, "REQUIREMENTS", file)
    monkeypatch.setattr(layers, "BUILT", tmp_path / "built")
    monkeypatch.setattr(layers, "ROOT", tmp_path)
    return file


def test_what_is_installed_is_not_installed_again(requirements: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    first = layers.install([])

    # when pip cannot be called any more
    monkeypatch.setattr(subprocess, "run", _refuse)

    # then
    assert layers.install([]) == first
    assert first.is_dir()


def test_other_requirements_or_options_are_another_layer(requirements: Path) -> None:
    # given
    first = layers.install([])

    # when
    with_option = layers.install(["--no-deps"])
    requirements.write_text("# changed\n")
    changed = layers.install([])

    # then
    assert len({first, with_option, changed}) == 3


def test_a_failed_installation_says_why_and_leaves_nothing(requirements: Path) -> None:
    # given a package that cannot be found
    requirements.write_text("no-such-package-of-paytrain==1\n")

    # when
    with pytest.raises(layers.LayerError, match=r"Installing requirements.txt failed: .*no-such-package-of-paytrain"):
        layers.install(["--no-index"])

    # then
    assert list(layers.BUILT.iterdir()) == []


def test_the_three_lists_of_requirements_agree() -> None:
    # given
    root = Path(__file__).resolve().parents[2]
    product, layer, image = (
        _pins(root / name)
        for name in ("requirements.txt", "layers/dependencies/requirements.txt", "lambda_src/worker/requirements.txt")
    )

    # when, then
    assert layer
    assert layer.items() <= image.items()
    assert {name: version for name, version in image.items() if name != "awslambdaric"}.items() <= product.items()


def _pins(file: Path) -> dict[str, str]:
    lines = [line.split(";")[0].strip() for line in file.read_text().splitlines() if "==" in line]
    return dict(line.split("==") for line in lines)


def _refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("pip was called")
