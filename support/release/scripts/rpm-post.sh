# SPDX-License-Identifier: Apache-2.0
# RPM: whether a new service is enabled says the distribution's preset; it is
# started by the administrator.
if [ "$1" -eq 1 ] && [ -x /usr/bin/systemctl ]; then
	systemctl --no-reload preset @UNIT@ >/dev/null 2>&1 || :
fi
[ ! -d /run/systemd/system ] || systemctl daemon-reload >/dev/null 2>&1 || :
