#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Prints which of the packages given, as patterns, have something that the race detector
# can look at: tests, and a goroutine, a lock, an atomic, a channel, a timer or a server in
# their code or in that of their tests. The others are parsers, tables and texts, one thing
# after another: their tests without the detector say all there is to say. The rule is
# coarse on purpose. A word in a comment is enough to be tried, and nobody has to remember
# to add a package that gets its first goroutine.
set -euo pipefail
cd "$(dirname "$0")/.."
concurrent='"(sync|sync/atomic|context|net|net/http|os/signal|testing/synctest)"|^[[:space:]]*go[[:space:]]+[a-zA-Z_(]|\<chan\>|\.Go\(|AfterFunc|NewTicker|NewTimer|time\.After|grpc'
# A variable, so that the end of the loop is not that of go list.
packages=$("${GO:-go}" list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}} {{.ImportPath}}{{end}}' "$@")
while read -r dir package; do
	if grep -qE -- "$concurrent" "$dir"/*.go; then
		echo "$package"
	fi
done <<<"$packages"
