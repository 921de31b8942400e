#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the collection agent and the agent side by side until interrupted.
# Ports and folder may be set: STROBE_HTTP, STROBE_GRPC, STROBE_DATA.
set -eu
cd "$(dirname "$0")/.."
http=${STROBE_HTTP:-127.0.0.1:7070}
grpc=${STROBE_GRPC:-127.0.0.1:11000}
data=${STROBE_DATA:-./strobe-data}

if [ "$(id -u)" -ne 0 ]; then
	echo "make run: the agent needs root to load eBPF programs; try: sudo make run" >&2
	exit 1
fi

agent=
bin/collectionagent -data-dir "$data" -http-address "$http" -grpc-address "$grpc" &
server=$!
stop() {
	trap '' INT TERM
	[ -z "$agent" ] || { kill -TERM "$agent" 2>/dev/null || true; wait "$agent" || true; }
	kill -TERM "$server" 2>/dev/null || true
	wait "$server" || true
	exit "$1"
}
trap 'stop 0' INT TERM

tries=0
until bin/collectionagent -check-ready "http://$http" 2>/dev/null; do
	kill -0 "$server" 2>/dev/null || { echo "make run: the collection agent did not start" >&2; exit 1; }
	tries=$((tries + 1))
	[ "$tries" -lt 300 ] || { echo "make run: the collection agent is not ready after 30 s" >&2; stop 1; }
	sleep 0.1
done

bin/agent -collection-agent "$grpc" -disable-tls &
agent=$!
echo
echo "  Strobe profiles this host. Open http://$http/ (Ctrl-C stops)"
echo
wait "$agent" || { echo "make run: the agent ended" >&2; stop 1; }
stop 0
