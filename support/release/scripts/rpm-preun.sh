# SPDX-License-Identifier: Apache-2.0
# RPM: $1 is the number of versions that remain.
if [ "$1" -eq 0 ] && [ -x /usr/bin/systemctl ]; then
	if [ -d /run/systemd/system ]; then
		systemctl --no-reload disable --now @UNIT@ >/dev/null 2>&1 || :
	else
		systemctl --no-reload disable @UNIT@ >/dev/null 2>&1 || :
	fi
fi
