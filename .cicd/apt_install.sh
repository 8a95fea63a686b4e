#!/bin/sh
# sh .cicd/apt_install.sh PACKAGES...: Debian's packages, with lists that are renewed first; with none, the lists alone.
# As root. One at a time: apt-get does not wait for another one, it gives up.
set -eu
exec 9>/run/lock/timer-system-apt
flock 9
apt-get -qq update
DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >/dev/null
