#!/bin/sh
# Installs the browser of tests/browser where that is possible: as root on Debian. Called by `make test`.
# Ubuntu's package is an empty one that leads to a snap, so there a browser must be installed by hand.
set -eu
command -v chromium >/dev/null 2>&1 && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 && ! grep -qs '^ID=ubuntu' /etc/os-release; then
    echo "browser: installing Chromium for the tests of the console"
    sh "$(dirname "$0")/apt_install.sh" chromium && exit 0
fi
echo "browser: there is no Chromium, so tests/browser will be skipped; install it (Debian: sudo apt-get install chromium)" >&2
