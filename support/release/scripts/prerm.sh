#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Debian: stops the service before its removal. An upgrade leaves it running until
# the new one is there.
set -e
unit=@UNIT@

if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
	deb-systemd-invoke stop "$unit" >/dev/null || true
fi
