#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what the tests need and is not there yet, on Debian, and mounts the
# file systems of the kernel that they use.
set -eu

need=
want() { # command package...
	command -v "$1" >/dev/null 2>&1 && return
	shift
	need="$need $*"
}
want gcc gcc libc6-dev
want g++ g++
want musl-gcc musl-tools
want clang clang
want ld.lld lld
want clang-19 clang-19
want llvm-strip-19 llvm-19
want protoc protobuf-compiler
want aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu libc6-dev-arm64-cross
want aarch64-linux-gnu-g++ g++-aarch64-linux-gnu
want qemu-aarch64-static qemu-user-static
want qemu-system-aarch64 qemu-system-arm
want chromium chromium
want rustc rustc
want python3 python3
want node nodejs
want mcs mono-mcs
want npm npm
want xz xz-utils
want objcopy binutils
want systemd-analyze systemd
want debootstrap debootstrap
want rpm rpm
want cpio cpio
want busybox busybox-static
want qemu-system-x86_64 qemu-system-x86
want curl curl
want promtool prometheus
want zsh zsh
want fish fish
want javac openjdk-17-jdk-headless
want ruby ruby
want php php8.2-cli php8.2-opcache
want php-fpm8.2 php8.2-fpm
want luajit luajit
want lua5.4 lua5.4
want perl perl
want erlc erlang-base
want elixirc elixir
want clickhouse-server clickhouse-server
want dockerd docker.io
want docker-compose docker-compose
want podman podman
want iptables iptables
# Threads begin in functions of the C library that only its debug symbols name.
[ -e /usr/share/doc/libc6-dbg ] || need="$need libc6-dbg"
[ -e /usr/share/java/zookeeper.jar ] || need="$need libzookeeper-java"
[ -e /usr/share/java/slf4j-nop.jar ] || need="$need libslf4j-java"
[ -e /usr/include/bpf/bpf_helpers.h ] || need="$need libbpf-dev"

if [ -n "$need" ]; then
	if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
		echo "tests need these packages, install them or run as root on Debian:$need" >&2
		exit 1
	fi
	# The tests start servers by themselves: none of those may start with its package.
	policy=/usr/sbin/policy-rc.d
	if [ ! -e "$policy" ]; then
		trap 'rm -f "$policy"' EXIT
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod 755 "$policy"
	fi
	apt-get update -qq
	# shellcheck disable=SC2086 # a list of packages
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $need
fi

if [ "$(id -u)" -eq 0 ]; then
	[ -d /sys/kernel/tracing/events ] || mount -t tracefs tracefs /sys/kernel/tracing || true
fi

# A real S3 server for the tests of object storage. It is built beside the module, of
# whose dependencies it is none.
root=$(cd "$(dirname "$0")/.." && pwd)
s3=v1.8.0
[ -e "$root/bin/versitygw-$s3" ] || {
	GOBIN="$root/bin" GOFLAGS= "${GO:-go}" install "github.com/versity/versitygw/cmd/versitygw@$s3"
	touch "$root/bin/versitygw-$s3"
}

(cd "$root/collector/distribution" && "${GO:-go}" mod download)
(cd "$root/support/release" && "${GO:-go}" mod download github.com/CycloneDX/cyclonedx-go github.com/goreleaser/nfpm/v2 github.com/santhosh-tekuri/jsonschema/v6)

"$root/support/test-runtimes.sh"
cd "$root/collectionagent/web/ui"
[ -d node_modules ] && [ node_modules -nt package-lock.json ] || "$root/support/npm.sh" ci --no-audit --no-fund
