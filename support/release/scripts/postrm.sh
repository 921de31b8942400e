#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Debian: a removal keeps settings and data, a purge takes them too.
set -e
unit=@UNIT@
name=@NAME@

if [ "$1" = remove ] && [ -x /usr/bin/deb-systemd-helper ]; then
	deb-systemd-helper mask "$unit" >/dev/null || true
fi
if [ "$1" = purge ]; then
	if [ -x /usr/bin/deb-systemd-helper ]; then
		deb-systemd-helper purge "$unit" >/dev/null || true
		deb-systemd-helper unmask "$unit" >/dev/null || true
	fi
	# What systemd made for the service (StateDirectory= with DynamicUser=), and what it
	# made with an ordinary user. The other package of the two keeps its part.
	rm -rf "/var/lib/private/strobe/$name" "/var/lib/strobe/$name"
	rm -f "/etc/strobe/$name.token"
	for dir in /var/lib/private/strobe /var/lib/strobe /etc/strobe; do
		[ ! -d "$dir" ] || rmdir --ignore-fail-on-non-empty "$dir"
	done
fi
if [ -d /run/systemd/system ]; then
	systemctl --system daemon-reload >/dev/null || true
fi
