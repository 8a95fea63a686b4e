#!/usr/bin/env bash
# Builds the images of both services, tagged with the version in pyproject.toml and `latest`: bash .cicd/.cicd.sh
#
# Environment, all optional; it goes in as build arguments, and none of it stays in the images:
#   CA_BUNDLE      file of certificate authorities (PEM) that the package index needs; default: $PIP_CERT, or else those
#                  that this machine trusts
#   PIP_INDEX_URL  PIP_EXTRA_INDEX_URL  PIP_TRUSTED_HOST  PIP_DEFAULT_TIMEOUT  PIP_RETRIES   as pip knows them
#   HTTP_PROXY     HTTPS_PROXY          NO_PROXY          (or in small letters)
#   PYTHON_IMAGE   another base image, for example from a registry of your own
# Without a registry at all: sudo bash .cicd/base_images.sh first.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "build: $*" >&2; exit 1; }

command -v docker >/dev/null || fail "docker is missing; see https://docs.docker.com/engine/install/"
docker info >/dev/null 2>&1 || fail "the docker engine does not answer; is it running, and may this user reach it?"

base=${PYTHON_IMAGE:-$(sed -n 's/^ARG PYTHON_IMAGE=//p' timer_api/Dockerfile)}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
[ -n "$version" ] || fail "no version in pyproject.toml"

if ! docker image inspect "$base" >/dev/null 2>&1 && ! docker pull --quiet "$base" >/dev/null; then
    fail "cannot pull $base; where there is no registry, run 'sudo bash .cicd/base_images.sh' first"
fi

arguments=(--build-arg "PYTHON_IMAGE=$base" --build-arg "VERSION=$version")
revision=$(git rev-parse --short HEAD 2>/dev/null) && arguments+=(--build-arg "REVISION=$revision")
for name in PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST PIP_DEFAULT_TIMEOUT PIP_RETRIES \
    HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy; do
    # The name alone: docker takes the value from the environment, and the process list does not show it.
    [ -z "${!name:-}" ] || { export "${name?}"; arguments+=(--build-arg "$name"); }
done

# An argument holds at most 128 KiB, half of a whole bundle: only what the base image does not trust yet goes in.
bundle=${CA_BUNDLE:-${PIP_CERT:-}}
trusted=/etc/ssl/certs/ca-certificates.crt
[ -n "$bundle" ] || [ ! -r "$trusted" ] || bundle=$trusted
if [ -n "$bundle" ]; then
    [ -r "$bundle" ] || fail "cannot read the certificates in $bundle"
    CA_CERTIFICATES=$(docker run --rm "$base" cat /etc/ssl/certs/ca-certificates.crt | awk '
        /-BEGIN CERTIFICATE-/ { block = "" }
        { block = block $0 "\n" }
        /-END CERTIFICATE-/ { if (in_base) known[block]; else if (!(block in known)) printf "%s", block }
    ' in_base=1 - in_base=0 "$bundle")
    [ ${#CA_CERTIFICATES} -lt 120000 ] || fail "$bundle: too many certificates for a build argument; name a file with your own only"
    export CA_CERTIFICATES
    arguments+=(--build-arg CA_CERTIFICATES)
fi

for service in timer_api timer_controller; do
    docker build --file "$service/Dockerfile" --tag "$service:$version" --tag "$service:latest" "${arguments[@]}" .
done
docker image ls --filter reference="timer_*:$version"
