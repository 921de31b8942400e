#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Says what the sources are, for the linker and for packages:
#   version.sh version   1.2.3 at the tag v1.2.3, else 1.2.3-dev.COMMITS.gHASH, where
#                        1.2.3 is the version that CHANGELOG.md is being written for
#   version.sh commit    the commit, with -dirty behind it if files were changed
#   version.sh date      when that was made, in UTC
# Without git, as in an unpacked tarball, it says what the variables STROBE_VERSION,
# STROBE_COMMIT and STROBE_DATE do.
set -eu
cd "$(dirname "$0")/.."
git() { command git -c safe.directory='*' "$@" 2>/dev/null; }

next=$(sed -n 's/^## \([0-9][0-9.]*\).*/\1/p' CHANGELOG.md | head -n 1)
dirty=
hash=
if hash=$(git rev-parse HEAD); then
	[ -z "$(git status --porcelain --untracked-files=no)" ] || dirty=1
fi

case ${1:-version} in
version)
	if [ -n "${STROBE_VERSION:-}" ]; then
		echo "$STROBE_VERSION"
	elif [ -z "$hash" ]; then
		echo "$next-dev"
	elif tag=$(git describe --tags --exact-match --match 'v[0-9]*') && [ -z "$dirty" ]; then
		echo "${tag#v}"
	else
		echo "$next-dev.$(git rev-list --count HEAD).g$(echo "$hash" | cut -c1-7)${dirty:+.dirty}"
	fi
	;;
commit) echo "${STROBE_COMMIT:-${hash:-unknown}${dirty:+-dirty}}" ;;
date) echo "${STROBE_DATE:-$(TZ=UTC0 git log -1 --date='format-local:%Y-%m-%dT%H:%M:%SZ' --format=%cd || echo unknown)}" ;;
*)
	echo "usage: version.sh version|commit|date" >&2
	exit 2
	;;
esac
