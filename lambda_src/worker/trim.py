"""Run once while the image is built: remove what no program imports, and compile the rest.

``python3 trim.py FOLDER`` with the folder that pip has installed into. Not even ``find`` is on Lambda's base image.
"""

import compileall
import py_compile
import shutil
import sys
from pathlib import Path

_FOLDERS = (
    # Headers, for those who compile operations of their own.
    "tensorflow/include",
    "tensorflow/xla_aot_runtime_src",
    "numpy/_core/include",
    # TensorFlow requires libclang for its own build only.
    "clang",
    "bin",
)
_TEST_FOLDERS = ("tests", "test")
_TESTED_PACKAGES = ("numpy", "h5py", "opt_einsum", "pymemcache", "simplejson")
_SUFFIXES = (".pyi", ".a", ".h", ".hpp", ".pxd")


def trim(packages: Path) -> None:
    """Remove headers, static libraries, type stubs and tests of what is installed in a folder."""
    for name in _FOLDERS:
        # Wheels of another platform may lack one; that is no reason not to have an image.
        shutil.rmtree(packages / name, ignore_errors=True)
    for name in _TESTED_PACKAGES:
        for folder in [path for path in (packages / name).rglob("*") if path.name in _TEST_FOLDERS and path.is_dir()]:
            shutil.rmtree(folder)
    for path in packages.rglob("*"):
        if path.suffix in _SUFFIXES and path.is_file():
            path.unlink()


def compile_all(folder: Path) -> bool:
    """Compile every module, for good: no later change of a file's time stamp makes Python compile it again.

    On Lambda the file system is read-only; what were not compiled would be compiled at every start.
    """
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    return bool(compileall.compile_dir(folder, quiet=1, workers=0, invalidation_mode=unchecked))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    trim(folder)
    sys.exit(not compile_all(folder))
