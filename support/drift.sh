#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Regenerates what is generated and committed, and fails when it differs.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

paths="support tracer/interpreter proto collectionagent/web/dist"
before=$work/before
after=$work/after
sums() { find $paths -type f ! -name '*.test' -exec sha256sum {} + | sort -k2; }

sums >"$before"
go generate ./support/... ./tracer/interpreter/...
proto/generate.sh
support/npm.sh run build >"$work/ui.log" 2>&1 || { cat "$work/ui.log"; exit 1; }
sums >"$after"
if ! diff "$before" "$after" >"$work/diff"; then
	echo "generated files are not what their sources give; run 'make generate proto ui' and commit:" >&2
	cat "$work/diff" >&2
	exit 1
fi
echo "generated files are current"
