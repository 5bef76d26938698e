#!/usr/bin/env bash
# install-wheels.sh VENV LOCK: what LOCK pins, by hash, and Protokol itself in place.
# Two old libraries come as source alone. They are pure Python and are built by the setuptools that
# requirements-dev.lock pins: an isolated build would fetch a builder that nobody has pinned.
set -euo pipefail
venv=$1 lock=$2
home=$(cd "$(dirname "$0")" && pwd)
source_only=onvif-zeep,wsdiscovery
pip=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check)

"${pip[@]}" --require-hashes --only-binary :all: -r <(awk '/^setuptools==/ {on = 1} on {print} on && !/\\$/ {exit}' "$home/requirements-dev.lock")
"${pip[@]}" --require-hashes --only-binary :all: --no-binary "$source_only" --no-build-isolation --use-pep517 -r "$lock"
"${pip[@]}" --no-deps --no-build-isolation --editable "$home"
