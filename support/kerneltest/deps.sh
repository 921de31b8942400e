#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what make test-kernels needs and is not there yet, on Debian.
set -eu

need=
want() { # command package
	command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || need="$need $2"
}
want qemu-system-x86_64 qemu-system-x86
want mke2fs e2fsprogs
want gcc gcc
want gpgv gpgv
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || need="$need debian-archive-keyring"
[ -z "$need" ] || {
	if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
		echo "make test-kernels needs these packages, install them or run as root on Debian:$need" >&2
		exit 1
	fi
	apt-get update -qq
	# shellcheck disable=SC2086 # a list of packages
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $need
}
