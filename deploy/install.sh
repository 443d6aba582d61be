#!/usr/bin/env bash
# Makes .venv at the root of the checkout with everything in it. `make install` calls this, once.
# Another interpreter: PYTHON=python3.12 make install
set -euo pipefail
cd "$(dirname "$0")/.."

supported() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; }

fail() { echo "install: $1" >&2; exit 1; }

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if supported "$candidate"; then echo "$candidate"; return; fi
    done
    fail "needs Python 3.11, 3.12 or 3.13; found $(${PYTHON:-python3} --version 2>/dev/null || echo none).
  Install one and name it: PYTHON=python3.12 make install"
}

pinned() { grep -E "^$1==" requirements-dev.txt | cut -d ' ' -f 1; }

if [[ -x .venv/bin/python ]] && supported .venv/bin/python; then
    echo "Using .venv ($(.venv/bin/python --version))"
else
    python=$(find_python)
    "$python" -c 'import ensurepip, venv' 2>/dev/null \
        || fail "$python has no venv module; on Debian and Ubuntu: apt-get install python3-venv"
    echo "Creating .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
fi

echo "Installing uv"
.venv/bin/python -m pip install --quiet --disable-pip-version-check "$(pinned uv)"
uv=(.venv/bin/uv pip install --python .venv/bin/python)
[[ -t 2 ]] || uv+=(--quiet)  # uv's progress is for a person who looks

# On Linux, PyPI's torch is the CUDA build: several GB that a CPU worker never uses.
if [[ $(uname -s) == Linux ]] && ! .venv/bin/python -c 'import importlib.metadata as m; m.version("torch")' 2>/dev/null; then
    echo "Installing torch (CPU build)"
    UV_HTTP_RETRIES=0 UV_HTTP_CONNECT_TIMEOUT=5 "${uv[@]}" --torch-backend=cpu "$(pinned torch)" 2>/dev/null \
        || echo "  The CPU build cannot be reached: taking the default build, several GB"
fi

echo "Installing the pinned requirements"
"${uv[@]}" -r requirements-dev.txt
echo "Installing stream-app"
"${uv[@]}" --no-deps --editable .
