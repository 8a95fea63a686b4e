#!/usr/bin/env bash
# Builds the images of this tree and of the version before, and runs the compose system through an upgrade and faults:
# make deployment. Where there is no Docker engine it says so, and ends well.
#
# Environment, optional: what .cicd/.cicd.sh takes; PREVIOUS, the revision of the version before. By default that is
# the last tag, or else the last commit whose tables were others.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! docker info >/dev/null 2>&1; then
    echo "deployment: NOT RUN: no Docker engine answers here"
    exit 0
fi
docker compose version >/dev/null 2>&1 || docker-compose version >/dev/null 2>&1 || {
    echo "deployment: NOT RUN: neither 'docker compose' nor docker-compose is installed"
    exit 0
}

for image in $(sed -n 's/^ARG PYTHON_IMAGE=//p' timer_api/Dockerfile) mysql:9.7 nginx:stable; do
    docker image inspect "$image" >/dev/null 2>&1 || docker pull --quiet "$image" >/dev/null 2>&1 || {
        echo "deployment: $image cannot be pulled: making stand-ins of Debian packages"
        bash .cicd/base_images.sh
        break
    }
done

previous=${PREVIOUS:-$(git describe --tags --abbrev=0 HEAD^ 2>/dev/null || true)}
if [ -z "$previous" ]; then
    newest=$(git log -1 --diff-filter=A --format=%H -- timer_db/migrations/versions/ 2>/dev/null || true)
    # A shallow clone does not know what was before.
    [ -z "$newest" ] || previous=$(git rev-parse --verify --quiet "$newest^" || true)
fi
from=()
if [ -n "$previous" ]; then
    tree=$(mktemp -d)
    trap 'rm -rf "$tree"' EXIT
    git archive "$previous" | tar -x -C "$tree"
    echo "deployment: images of the version before ($(git rev-parse --short "$previous"))"
    bash "$tree/.cicd/.cicd.sh" >"$tree/log" 2>&1 || { tail -n 30 "$tree/log" >&2; exit 1; }
    for service in timer_api timer_controller; do docker tag "$service:latest" "$service:previous"; done
    from=(--from previous)
else
    echo "deployment: no version before this one is known; the upgrade is left out"
fi

echo "deployment: images of this tree"
log=$(mktemp)
bash .cicd/.cicd.sh >"$log" 2>&1 || { tail -n 30 "$log" >&2; exit 1; }
rm -f "$log"
python3 tests/compose/smoke.py "${from[@]}"
