"""Podman and buildah without a daemon, with storage of their own below out/: nothing of the machine's is touched."""

import json
import os
import subprocess
import urllib.parse
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from local.twin import ROOT

OUT = ROOT / "out" / "image"
BASE = "localhost/paytrain-base"
WORKER = "localhost/paytrain-worker"

_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_SUITE = "bookworm"
_MIRROR = "http://deb.debian.org/debian"
# crun refuses the cgroup layout of a container that runs containers; there is no systemd and no journal either.
_CONFIGURATION = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


class ImageError(Exception):
    """A container tool failed; its own words follow."""


def podman(*arguments: str) -> str:
    """Run podman and return what it prints."""
    return _run(["podman", *_storage(), *arguments])


def ensure_base() -> None:
    """Make a base image with Debian's Python, unless an earlier run did.

    It stands in for AWS's own base image, which lies in a registry that is not reachable everywhere.
    """
    if podman("images", "--quiet", BASE):
        return
    root = OUT / "rootfs"
    _run(["rm", "-rf", "--one-file-system", str(root)])
    packages = "--include=python3,python3-pip,ca-certificates"
    _run(["debootstrap", "--variant=minbase", packages, _SUITE, str(root), _mirror()])
    archive = OUT / "rootfs.tar"
    _run(["tar", "-C", str(root), "-cf", str(archive), "."])
    podman("import", str(archive), BASE)
    archive.unlink()
    _run(["rm", "-rf", "--one-file-system", str(root)])


def build(context: Path, tag: str) -> None:
    """Build the unmodified Dockerfile of a context on the base image; unchanged layers are those of the last build.

    Raises
    ------
    ImageError
        With the end of what the build said.
    """
    options = ["--isolation", "chroot", "--layers", "--force-rm", "--build-arg", f"BASE_IMAGE={BASE}", "--tag", tag]
    if Path(_CERTIFICATES).is_file():
        # A machine behind a proxy has the proxy's certificate there, which pip has to trust.
        options += ["--volume", f"{_CERTIFICATES}:{_CERTIFICATES}:ro"]
    dockerfile = context / "lambda_src" / "worker" / "Dockerfile"
    _run(["buildah", *_storage(), "bud", *options, "--file", str(dockerfile), str(context)])


def size_mb(image: str) -> float:
    """Megabytes of an image, unpacked, its base included."""
    return int(json.loads(podman("image", "inspect", image))[0]["Size"]) / 1e6


def run_detached(image: str, environment: Mapping[str, str], memory_mb: int) -> str:
    """Start a container as Lambda would: read-only but for /tmp, and with limited memory. Returns its id."""
    limits = ["--memory", f"{memory_mb}m", "--memory-swap", f"{memory_mb}m"]
    # Lambda has no shared memory either.
    read_only = ["--read-only", "--read-only-tmpfs=false", "--tmpfs", "/tmp", "--tmpfs", "/dev/shm:ro,size=4k"]
    variables = [option for name, value in environment.items() for option in ("--env", f"{name}={value}")]
    isolated = ["--network", "host", "--http-proxy=false"]
    return podman("run", "--detach", *isolated, *limits, *read_only, *variables, image).strip()


def remove(container: str) -> None:
    """Remove a container, whatever it is doing.

    ``podman rm --force`` would do if it did not fail on a container that ends by itself at that moment.
    """
    with suppress(ImageError):  # The container has ended.
        podman("kill", container)
    podman("wait", container)
    podman("rm", container)


def remove_dangling() -> None:
    """Remove the images that a newer build has taken the name of."""
    podman("image", "prune", "--force")


def release() -> None:
    """Undo the bind mount that the storage leaves behind, so that out/ can be removed; the storage itself stays."""
    subprocess.run(["umount", str(OUT / "storage" / "overlay")], capture_output=True, check=False)


def _mirror() -> str:
    """The archive that this machine's apt uses, if it is a Debian one."""
    said = subprocess.run(["apt-get", "indextargets", "--format", "$(SITE)"], capture_output=True, text=True)
    sites = said.stdout.split()
    debian = [site for site in sites if urllib.parse.urlsplit(site).path.rstrip("/").endswith("/debian")]
    return debian[0] if debian else _MIRROR


def _storage() -> Sequence[str]:
    return ["--root", str(OUT / "storage"), "--runroot", str(OUT / "run")]


def _run(command: Sequence[str]) -> str:
    OUT.mkdir(parents=True, exist_ok=True)
    configuration = OUT / "containers.conf"
    configuration.write_text(_CONFIGURATION)
    environment = {**os.environ, "CONTAINERS_CONF": str(configuration)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = "\n".join([*done.stdout.splitlines()[-15:], *done.stderr.splitlines()[-15:]])
        raise ImageError(f"{' '.join(command[:1])} failed with {done.returncode}:\n{said}")
    return done.stdout
