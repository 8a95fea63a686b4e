#!/usr/bin/env bash
# Makes the images of the deployment: base images where none can be pulled, timer_api and timer_controller of this
# tree (tag `latest`) and of the version before (tag `previous`). Ends with 0 when they are there, and with 77 where
# they cannot be made for a reason that is not ours; the last line then says which.
#
# Environment, optional: what .cicd/.cicd.sh takes; PREVIOUS, the revision of the version before. By default that is
# the last tag, or else the last commit whose tables were others.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
base=$(sed -n 's/^ARG PYTHON_IMAGE=//p' timer_api/Dockerfile)

not_run() { echo "deployment: NOT RUN: $1"; exit 77; }

docker info >/dev/null 2>&1 || not_run "no Docker engine answers here"
docker compose version >/dev/null 2>&1 || docker-compose version >/dev/null 2>&1 ||
    not_run "neither 'docker compose' nor docker-compose is installed"

for image in "$base" mysql:9.7 nginx:stable; do
    docker image inspect "$image" >/dev/null 2>&1 || docker pull --quiet "$image" >/dev/null 2>&1 || {
        echo "deployment: $image cannot be pulled: making stand-ins of Debian packages"
        bash .cicd/base_images.sh || not_run "the base images can be neither pulled nor made here, see above"
        break
    }
done

# build TREE: the two images, of which the log is shown when they fail.
build() {
    bash "$1/.cicd/.cicd.sh" >"$work/log" 2>&1 && return
    tail -n 30 "$work/log"
    docker run --rm "$base" python3 -c "import urllib.request as r; r.socket.create_connection(('pypi.org', 443), 20)" \
        >/dev/null 2>&1 || [ -n "${PIP_INDEX_URL:-}${HTTPS_PROXY:-}${https_proxy:-}" ] ||
        not_run "containers here do not reach the package index"
    exit 1
}

previous=${PREVIOUS:-$(git describe --tags --abbrev=0 HEAD^ 2>/dev/null || true)}
if [ -z "$previous" ]; then
    newest=$(git log -1 --diff-filter=A --format=%H -- timer_db/migrations/versions/ 2>/dev/null || true)
    # A shallow clone does not know what was before.
    [ -z "$newest" ] || previous=$(git rev-parse --verify --quiet "$newest^" || true)
fi
if [ -n "$previous" ]; then
    mkdir "$work/tree"
    git archive "$previous" | tar -x -C "$work/tree"
    echo "deployment: images of the version before ($(git rev-parse --short "$previous"))"
    build "$work/tree"
    for service in timer_api timer_controller; do docker tag "$service:latest" "$service:previous"; done
else
    echo "deployment: no version before this one is known; the upgrade is left out"
    # Those of an earlier run are not of this tree.
    docker image rm timer_api:previous timer_controller:previous >/dev/null 2>&1 || true
fi

echo "deployment: images of this tree"
build .
