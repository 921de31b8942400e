#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs every fuzz target for a while and prints what came of it.
#
#   support/fuzz.sh [-t FUZZTIME] [-j JOBS] [-run-only REGEX] [-from TARGET] [-list] [-collect]
#
#   -t         how long each target runs, as for go test -fuzztime (default 1m)
#   -j         targets at a time (default 1); each uses one worker
#   -run-only  only targets whose "package.FuzzName" matches the regular expression
#   -from      skip the targets before this one: resumes a run that was cut off
#   -list      print the targets and end
#   -collect   add to testdata/fuzz the smallest few new inputs that reached new code
#
# Inputs that fail are written to testdata/fuzz of their package; other inputs
# that the fuzzer finds interesting stay in FUZZ_CACHE (default: a directory that is removed).
# Ends with 1 when a target found something, 2 when one could not run.
set -euo pipefail
cd "$(dirname "$0")/.."

fuzztime=1m jobs=1 only=. from='' list='' collect=''
while [ $# -gt 0 ]; do
	case $1 in
	-t) fuzztime=$2; shift ;;
	-j) jobs=$2; shift ;;
	-run-only) only=$2; shift ;;
	-from) from=$2; shift ;;
	-list) list=1 ;;
	-collect) collect=1 ;;
	*) sed -n '3,16s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
	esac
	shift
done

root=$PWD
module=$(go list -m)
export GOMEMLIMIT=${GOMEMLIMIT:-2GiB}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cache=${FUZZ_CACHE:-$work/cache}
mkdir -p "$cache" "$work/bin" "$work/out"
cache=$(cd "$cache" && pwd)

# "package directory name" of each target; a package is its path in the module.
go list -f '{{$d := .Dir}}{{$p := .ImportPath}}{{range .TestGoFiles}}{{$p}} {{$d}}/{{.}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$p}} {{$d}}/{{.}}{{"\n"}}{{end}}' ./... |
	while read -r package file; do
		[ -n "$file" ] || continue
		sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file" | while read -r name; do
			echo "${package#"$module"/} $name"
		done
	done | sort -u >"$work/all"
awk -v from="$from" -v only="$only" '
	{ target = $1 "." $2 }
	from != "" && target != from { next }
	{ from = "" }
	target ~ only' "$work/all" >"$work/targets"
if [ -n "$list" ]; then
	awk '{ print $1 "." $2 }' "$work/targets"
	exit 0
fi
[ -s "$work/targets" ] || { echo "no target matches" >&2; exit 2; }

# One binary for all targets of a package.
for package in $(cut -d' ' -f1 "$work/targets" | sort -u); do
	go test -c -fuzz '^$' -o "$work/bin/${package//\//_}" "./$package" >"$work/build.log" 2>&1 ||
		{ cat "$work/build.log" >&2; exit 2; }
	[ -z "$collect" ] || go test -c -cover -covermode set -o "$work/bin/${package//\//_}.cover" "./$package"
done
[ -z "$collect" ] || go build -o "$work/fuzzcorpus" ./support/internal/fuzzcorpus

seconds() { # of a duration such as 90s, 10m or 1h; a number of runs such as 1000x counts as an hour
	case $1 in *h) echo $((${1%h} * 3600)) ;; *m) echo $((${1%m} * 60)) ;; *s) echo "${1%s}" ;; *) echo 3600 ;; esac
}
start=600                               # until a target fuzzes: some prepare a lot, and hosts are busy
limit=$(($(seconds "$fuzztime") + 120)) # from there on: seeds, and a hang that no target noticed

one() { # package name
	local id=${1//\//_}.$2 code=0 result=ok
	local log=$work/out/$id execs new
	(cd "$root/$1" && exec timeout -k 10 $((start + limit)) "$work/bin/${1//\//_}" -test.run '^$' -test.fuzz "^$2\$" \
		-test.fuzztime "$fuzztime" -test.fuzzminimizetime 200x -test.parallel 1 -test.fuzzcachedir "$cache/$1") >"$log" 2>&1 &
	local pid=$! end=''
	while kill -0 "$pid" 2>/dev/null; do
		if [ -z "$end" ]; then
			! grep -q '^fuzz: elapsed' "$log" || end=$((SECONDS + limit))
		elif [ "$SECONDS" -ge "$end" ]; then
			result=HANG
			kill "$pid" 2>/dev/null || true # timeout hands it on, and kills 10 s later
			break
		fi
		sleep 1
	done
	wait "$pid" || code=$?
	case $code in
	0) result=ok ;;
	124 | 137) result=HANG ;;
	*) [ $result = HANG ] || result=FAIL ;;
	esac
	# When the time is up in the middle of an input, go test at times takes that for
	# a failure (go.dev/issue/75804); no input of its own belongs to it.
	if [ $result = FAIL ] && grep -q '^ *context deadline exceeded$' "$log" && ! grep -q -e 'Failing input written' -e '^panic' -e 'DATA RACE' "$log"; then
		result=ok
	fi
	execs=$(sed -n 's/^fuzz: elapsed: .* execs: \([0-9]*\) .*/\1/p' "$log" | tail -1)
	new=$(sed -n 's/^fuzz: elapsed: .* new interesting: \([0-9]*\) .*/\1/p' "$log" | tail -1)
	if [ $result = ok ] && [ -z "$execs" ]; then
		result=NONE # the time was up before the seeds were through
		touch "$work/broken"
	fi
	printf '%-62s %12s %8s  %s\n' "$1.$2" "${execs:--}" "${new:--}" "$result"
	if [ -n "$collect" ]; then
		"$work/fuzzcorpus" -binary "$work/bin/${1//\//_}.cover" -dir "$1" -target "$2" -from "$cache/$1/$2" </dev/null ||
			touch "$work/broken"
	fi
	if [ "$result" != ok ]; then
		touch "$work/failed"
		sed 's/^/    /' "$log" | tail -40
	fi
}
export -f one
export root work cache start limit fuzztime collect

printf '%-62s %12s %8s  %s\n' target execs new result
xargs -P "$jobs" -L 1 bash -c 'one "$@"' one <"$work/targets" || true

[ ! -e "$work/broken" ] || exit 2
if [ -e "$work/failed" ]; then
	echo "a target found something: the input is in testdata/fuzz of its package; run it with go test -run TARGET/NAME" >&2
	exit 1
fi
