#!/bin/sh
# Makes .venv with the locked dependencies. Called by `make install`; PYTHON names the interpreter.
set -eu
cd "$(dirname "$0")/.."
fail() { printf 'install: %s\n' "$1" >&2; exit 1; }
may_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; }
apt_install() { sh .cicd/apt_install.sh "$@"; }
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

python=
for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
    if new_enough "$candidate"; then python=$candidate; break; fi
done
if [ -z "$python" ] && [ -z "${PYTHON:-}" ] && may_install; then
    apt_install python3 python3-venv
    if new_enough python3; then python=python3; fi
fi
[ -n "$python" ] || fail "no Python 3.11 or newer found. Install one (Debian, Ubuntu: apt-get install python3 python3-venv) or name it: make PYTHON=/path/to/python3.11"

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    # Debian and Ubuntu split venv from Python.
    may_install || fail "this Python has no venv. Run 'sudo apt-get install python3-venv' once, then try again."
    apt_install python3-venv
fi

[ -x .venv/bin/python ] || "$python" -m venv .venv
echo "install: locked dependencies into .venv"
.venv/bin/python -m pip install --quiet --require-hashes -r requirements-dev.lock
# A warning of setuptools about editable installs, which says nothing to whoever reads this.
PYTHONWARNINGS=ignore .venv/bin/python -m pip install --quiet --no-deps --no-build-isolation -e . -e ./timer_client
