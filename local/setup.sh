#!/usr/bin/env bash
# Sets up one part of the machine: python, node, memcached or containers. Says one line, and the log's end if it fails.
set -euo pipefail
cd "$(dirname "$0")/.."

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

apt_install() {
    as_root apt-get update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

python() {
    local python=${PYTHON:-python3}
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        echo "Python 3.11 or newer is needed; $python is $("$python" --version 2>&1). Set PYTHON to a newer one."
        return 1
    }
    # Debian ships venv without the pip that goes into one.
    "$python" -c 'import ensurepip' || apt_install python3-venv
    "$python" -m venv --clear .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile -r requirements-dev.txt
    # By all processors, not by one as pip does; and even where Python is told to write no bytecode, since every worker
    # that starts would compile TensorFlow again, which takes 10 s. Some packages have files that are for another Python.
    env -u PYTHONDONTWRITEBYTECODE .venv/bin/python -m compileall -q -j 0 .venv/lib || true
}

node() {
    command node -e 'process.exit(process.versions.node.split(".")[0] >= 20 ? 0 : 1)' || {
        echo "Node 20 or newer is needed; this is $(command node --version 2>&1)."
        return 1
    }
    npm ci --no-audit --no-fund --no-update-notifier
}

memcached() {
    apt_install memcached
    # The package starts a server of its own, on the port that the twin needs.
    if [ -d /run/systemd/system ]; then
        as_root systemctl disable --now memcached
    else
        # Fails where the package did not start one.
        as_root service memcached stop || true
    fi
}

containers() {
    apt_install podman buildah debootstrap runc netavark aardvark-dns uidmap iptables
}

part=$1
case $part in
    python | node | memcached | containers) ;;
    *) echo "usage: $0 python|node|memcached|containers" >&2; exit 2 ;;
esac
mkdir -p out/setup
log=out/setup/$part.log
began=$SECONDS
[ -t 1 ] && printf '… set up %s\r' "$part"
# Not `if set_up; then`: inside a condition the shell would not stop at a failing command.
set +e
(set -e; "$part") >"$log" 2>&1
status=$?
set -e
if [ $status -ne 0 ]; then
    printf '✗ set up %s failed; the end of %s:\n' "$part" "$log"
    tail -n 15 "$log"
    exit 1
fi
printf '✓ set up %s %s s\n' "$part" $((SECONDS - began))
