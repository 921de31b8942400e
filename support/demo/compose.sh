#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs Docker Compose with the arguments, whichever of its two versions is there.
set -eu
cd "$(dirname "$0")/../.."
if docker compose version >/dev/null 2>&1; then
	exec docker compose "$@"
fi
command -v docker-compose >/dev/null || {
	echo "the demo needs Docker Compose: apt-get install docker.io docker-compose" >&2
	exit 1
}
exec docker-compose "$@"
