#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Debian: starts the service after the installation, and anew after an upgrade,
# unless the administrator has disabled or masked it.
set -e
unit=@UNIT@

case "$1" in
configure | abort-upgrade | abort-deconfigure | abort-remove)
	deb-systemd-helper unmask "$unit" >/dev/null || true
	if deb-systemd-helper --quiet was-enabled "$unit"; then
		deb-systemd-helper enable "$unit" >/dev/null || true
	else
		deb-systemd-helper update-state "$unit" >/dev/null || true
	fi
	if [ -d /run/systemd/system ]; then
		systemctl --system daemon-reload >/dev/null || true
		if [ -n "$2" ]; then
			deb-systemd-invoke restart "$unit" >/dev/null || true
		else
			deb-systemd-invoke start "$unit" >/dev/null || true
		fi
	fi
	;;
esac
