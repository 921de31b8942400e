#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the collection agent and the agent side by side until interrupted.
# Addresses and folder may be set: STROBE_HTTP, STROBE_GRPC, STROBE_DATA.
set -eu
cd "$(dirname "$0")/.."
http=${STROBE_HTTP:-127.0.0.1:7070}
grpc=${STROBE_GRPC:-127.0.0.1:11000}
data=${STROBE_DATA:-./strobe-data}

if [ "$(id -u)" -ne 0 ]; then
	echo "make run: the agent needs root to load eBPF programs; try: sudo make run" >&2
	exit 1
fi

server=
agent=
stop() {
	trap '' INT TERM
	# The agent first: it hands over what it holds.
	for pid in $agent $server; do
		kill -TERM "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	exit "$1"
}
trap 'stop 0' INT TERM

# The agent needs no running server: it profiles at once and delivers later.
bin/collectionagent -data-dir "$data" -http-address "$http" -grpc-address "$grpc" &
server=$!
# Its spool is among the other data, so that nothing is left elsewhere.
mkdir -p -m 0750 "$data"
bin/agent -collection-agent "$grpc" -disable-tls -spool-dir "$(cd "$data" && pwd)/agent-spool" &
agent=$!

while kill -0 "$server" 2>/dev/null && kill -0 "$agent" 2>/dev/null; do
	sleep 1 &
	wait $! || true
done
echo "make run: one of the two programs ended, see above" >&2
stop 1
