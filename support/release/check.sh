#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes a release twice and fails unless both have the same bytes. The second one is
# made in another directory, without git, with an empty build cache, and as somebody
# else would: another umask, time zone, language and number of threads.
#   check.sh [ARCHES]
set -eu
cd "$(dirname "$0")/../.."
arches=${1:-amd64,arm64}
version=$(support/version.sh version | sed 's/\.dirty$//')
commit=$(git rev-parse HEAD)
date=$(support/version.sh date)
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

release() { # directory of the sources
	mkdir -p "$1"
	git archive "$commit" | tar -x -C "$1"
	(cd "$1/support/release" &&
		"${GO:-go}" run . -root ../.. -out ../../dist -version "$version" -commit "$commit" -date "$date" -arch "$arches")
}

release "$work/one"
(
	umask 077
	export GOCACHE="$work/cache" TZ=Pacific/Auckland LC_ALL=C LANG=C GOMAXPROCS=1 HOSTNAME=elsewhere TMPDIR="$work/tmp"
	GOPATH=$("${GO:-go}" env GOPATH)
	export GOPATH HOME="$work/home"
	mkdir -p "$TMPDIR" "$HOME"
	release "$work/some/where/else/two"
)
if ! diff "$work/one/dist/SHA256SUMS" "$work/some/where/else/two/dist/SHA256SUMS"; then
	echo "the two releases differ, see above" >&2
	exit 1
fi
(cd "$work/some/where/else/two/dist" && sha256sum -c --quiet SHA256SUMS)
echo "two releases of $version have the same bytes:"
cat "$work/one/dist/SHA256SUMS"
