# SPDX-License-Identifier: Apache-2.0
# RPM: $1 is the number of versions that remain, and not 0 after an upgrade.
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload >/dev/null 2>&1 || :
	[ "$1" -eq 0 ] || systemctl try-restart @UNIT@ >/dev/null 2>&1 || :
fi
