#!/bin/sh
# Puts promtool, which checks metrics and alert rules, into .cache/promtool: out of Debian's package, which is not
# installed, since it would start a server. Called by `make test`. Without it tests/deploy/test_prometheus.py is
# skipped, and says so.
set -eu
cd "$(dirname "$0")/.."
target=.cache/promtool
if command -v promtool >/dev/null 2>&1 || [ -x "$target/usr/bin/promtool" ]; then exit 0; fi
if command -v apt-get >/dev/null 2>&1; then
    echo "promtool: out of Debian's package prometheus, for the tests of metrics and alerts"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    # Where nobody has asked for the lists yet, root does.
    lists="$(pwd)/.cicd/apt_install.sh"
    (cd "$work" && { apt-get -qq download prometheus >/dev/null 2>&1 \
        || { sh "$lists" && apt-get -qq download prometheus >/dev/null; }; }) || true
    if ls "$work"/prometheus_*.deb >/dev/null 2>&1; then
        mkdir -p "$target" && dpkg -x "$work"/prometheus_*.deb "$target" && exit 0
    fi
fi
echo "promtool: there is none, so tests of alerts will be skipped; install it (Debian: sudo apt-get install prometheus)" >&2
