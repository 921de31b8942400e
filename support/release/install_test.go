// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/support/doctest"
)

// promised is the time that docs/install.md promises.
const promised = 5 * time.Minute

// TestInstallDebianPackage does what docs/install.md says on a Debian that has booted with
// systemd in namespaces of its own, and looks at the services as an administrator would.
// The units are those of the package. The agent profiles the whole host; processes
// outside of the machine it knows by the names of their threads only.
func TestInstallDebianPackage(t *testing.T) {
	t.Parallel()
	doc := doctest.Open(t, "docs/install.md", "Debian package")
	dir, _ := releases(t)
	c := newChroot(t)
	c.put(dir)
	said := examine(t, doc, c.boot(installation(doc), promised))
	said.has("status", "in a PID namespace of its own")
}

// TestBootDebianPackage does the same in an emulated machine with Debian's kernel, which
// takes minutes without KVM. Only there are kernel.perf_event_paranoid=3, a cgroup v2
// hierarchy with all controllers, and processes in the first PID namespace.
func TestBootDebianPackage(t *testing.T) {
	doc := doctest.Open(t, "docs/install.md", "Debian package")
	dir, _ := releases(t)
	said := examine(t, doc, bootGuest(t, dir, installation(doc)))
	said.has("machine", "paranoid 3\n", "cpu io memory")
	if strings.Contains(said.parts["status"], "PID namespace") {
		t.Errorf("the agent is not in the first PID namespace:\n%s", said.parts["status"])
	}
}

// look is what the script does after the commands of the document. Loops end when what
// they wait for is there, or after a minute.
const look = `
part machine
echo paranoid $(cat /proc/sys/kernel/perf_event_paranoid)
cat /sys/fs/cgroup/cgroup.controllers
grep CapBnd /proc/1/status
part services
for u in $units; do systemctl show -p Id,ActiveState,NRestarts,WatchdogUSec,StatusText $u; done
part confined
for u in $units; do
	pid=$(systemctl show --value -p MainPID $u)
	echo $u uid $(stat -c %u /proc/$pid)
	for name in NoNewPrivs Seccomp CapPrm; do echo $u $(grep "^$name:" /proc/$pid/status); done
	echo $u $(grep 'Max open files' /proc/$pid/limits)
	echo $u root is mounted $(awk '$5 == "/" { print $6 }' /proc/$pid/mountinfo)
	[ -e /proc/$pid/root/tmp/of-others ] || echo $u has its own /tmp
	[ -e /proc/$pid/root/dev/of-others ] || echo $u has its own /dev
	for file in memory.max pids.max; do echo $u $file $(cat /sys/fs/cgroup/system.slice/$u.service/$file 2>&1); done
done
part journal
journalctl -b -o cat -u strobe-agent -u strobe-collectionagent
part warnings
journalctl -b -o cat -p warning -u strobe-agent -u strobe-collectionagent
part files
ls -A /var/lib/strobe/ /var/lib/private/strobe/collectionagent /var/lib/private/strobe/agent
part answer
curl -fsS 'http://127.0.0.1:7070/api/v1/top?from=now-5m' | grep -o 'main::slow' | head -n 1
part token
strobe-collectionagent token create -config /etc/strobe/collectionagent.conf -project default -role ingest >/etc/strobe/agent.token
chmod 600 /etc/strobe/agent.token
install -D -t /etc/systemd/system/strobe-agent.service.d /usr/share/doc/strobe-agent/examples/token.conf
# A watchdog that bites sooner than that of the package is seen to be answered sooner.
for u in $units; do
	mkdir -p /run/systemd/system/$u.service.d
	printf '[Service]\nWatchdogSec=6s\n' >/run/systemd/system/$u.service.d/watchdog.conf
done
systemctl daemon-reload
systemctl restart $units
until_true 'strobe-agent status >/tmp/out 2>&1'
cat /tmp/out
part watchdog
since() { echo $(($(systemctl show --value -p WatchdogTimestampMonotonic $1) - $(systemctl show --value -p ActiveEnterTimestampMonotonic $1))); }
for u in $units; do until_true "[ \$(since $u) -gt 6000000 ]"; systemctl show -p NRestarts $u; done
for u in $units; do kill -STOP $(systemctl show --value -p MainPID $u); done
for u in $units; do
	until_true "systemctl show -p NRestarts,ActiveState $u | sort | tr '\\n' ' ' | grep 'ActiveState=active NRestarts=1'"
	until_true "journalctl -b -o cat -u $u | grep 'Watchdog timeout'" # the journal may be behind
done
part stop
systemctl stop $units
for u in $units; do systemctl show -p ActiveState,SubState,Result,ExecMainStatus $u; done
part purge
systemctl start $units
apt-get purge -y strobe-agent strobe-collectionagent strobectl 2>&1 | tail -n 5
rm -r /run/systemd/system/strobe-*.service.d /etc/systemd/system/strobe-agent.service.d # not of the package
systemctl daemon-reload
echo === left
find / -xdev -name '*strobe*' -not -path '/packages/*'
systemctl --failed --no-legend
systemctl list-units --all --no-legend 'strobe*'
part done
`

// installation is a script that does what the document says, with what it prints in parts.
func installation(doc *doctest.Section) string {
	var script strings.Builder
	script.WriteString(`set -eu
units="strobe-agent strobe-collectionagent"
fail() { echo "FAILED at $1"; journalctl -b -o cat --no-pager -u strobe-agent -u strobe-collectionagent | tail -n 60; }
trap 'fail $LINENO' ERR
until_true() { for i in $(seq 60); do eval "$1" && return; sleep 1; done; return 1; }
part() { echo "=== $1"; }
touch /tmp/of-others /dev/of-others
SECONDS=0
`)
	for i := range doc.Len() {
		block := doc.Block(i)
		text := strings.TrimSpace(block.Text)
		switch {
		case strings.HasPrefix(text, "strobe-agent status"):
			// What the kernel allows is asked for once, which takes a while on a busy host.
			fmt.Fprintf(&script, "part status\nuntil_true %s\n", quoted(text))
		case !block.HasWant:
			fmt.Fprintf(&script, "part 'block %d'\n%s\n", i, text)
		default: // "after ten seconds"
			// The answer is there when the last word of what is expected is.
			fmt.Fprintf(&script, "part 'block %d'\nuntil_true %s\ncat /tmp/out\npart found\necho $SECONDS\n", i,
				quoted("{ "+text+"\n} >/tmp/out 2>&1 && grep -q main::slow /tmp/out"))
		}
		block.Ran()
	}
	return script.String() + look
}

// quoted returns text as one word of a shell.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// answers are what the script printed, by part.
type answers struct {
	t     *testing.T
	parts map[string]string
}

func (a *answers) has(part string, texts ...string) {
	a.t.Helper()
	for _, text := range texts {
		if !strings.Contains(a.parts[part], text) {
			a.t.Errorf("%s: no %q in\n%s", part, text, a.parts[part])
		}
	}
}

// counts is how often a part must have each of the texts.
func (a *answers) counts(part string, texts map[string]int) {
	a.t.Helper()
	for text, n := range texts {
		if strings.Count(a.parts[part], text) != n {
			a.t.Errorf("%s: not %d times %q\n%s", part, n, text, a.parts[part])
		}
	}
}

// examine judges what the script printed.
func examine(t *testing.T, doc *doctest.Section, out string) *answers {
	t.Helper()
	t.Log(out)
	a := &answers{t, map[string]string{}}
	for p := range strings.SplitSeq(out, "=== ") {
		name, text, _ := strings.Cut(p, "\n")
		a.parts[name] = text
	}
	if _, ok := a.parts["done"]; !ok || strings.Contains(out, "FAILED at") {
		t.Fatal("the script did not come to its end")
	}
	for i := range doc.Len() {
		part := a.parts[fmt.Sprintf("block %d", i)]
		if b := doc.Block(i); b.HasWant && !doctest.Matches(b.Want, part) {
			t.Errorf("%s: prints what is not in the document:\n%s", b.Pos(), part)
		}
	}
	t.Logf("from the first command to the hot function: %s s", strings.TrimSpace(a.parts["found"]))
	a.has("answer", "main::slow")
	a.has("services", "Id=strobe-agent.service", "Id=strobe-collectionagent.service", "StatusText=takes and shows profiles")
	a.counts("services", map[string]int{"ActiveState=active": 2, "NRestarts=0": 2, "WatchdogUSec=1min": 2})
	a.has("journal", "msg=ready http=127.0.0.1:7070", "msg=starting version="+made.version,
		"privileges that are not needed any more are given up")
	for line := range strings.Lines(a.parts["journal"]) {
		if strings.Contains(line, "are given up") && strings.Contains(line, "SYS_ADMIN") {
			t.Errorf("the agent keeps more than it needs: %s", line)
		}
	}
	if strings.Contains(a.parts["journal"], "level=INFO") || strings.Contains(a.parts["warnings"], "msg=ready") {
		t.Errorf("the journal has no priorities:\n%s", a.parts["journal"])
	}
	a.confined()
	a.has("token", "healthy: profiling and delivering")
	a.counts("watchdog", map[string]int{"NRestarts=0\n": 2, "NRestarts=1 ": 2, "Watchdog timeout (limit 6s)": 2})
	a.counts("stop", map[string]int{"ActiveState=inactive": 2, "SubState=dead": 2, "Result=success": 2, "ExecMainStatus=0": 2})
	if a.parts["left"] != "" {
		t.Errorf("a purge leaves\n%s", a.parts["left"])
	}
	return a
}

// confined looks in the kernel for what the units ask for.
func (a *answers) confined() {
	a.t.Helper()
	// CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE, CAP_SYSLOG, CAP_PERFMON, CAP_BPF, CAP_CHECKPOINT_RESTORE; and nothing.
	for unit, capabilities := range map[string]string{"strobe-agent": "000001c400080004", "strobe-collectionagent": "0000000000000000"} {
		a.has("confined", unit+" NoNewPrivs: 1\n", unit+" Seccomp: 2\n", unit+" CapPrm: "+capabilities+"\n",
			unit+" root is mounted ro,", unit+" has its own /tmp\n", unit+" has its own /dev\n")
		if strings.Contains(a.parts["confined"], unit+" uid 0\n") {
			a.t.Errorf("%s runs as root", unit)
		}
	}
	// Two things are the host's to give. Hard limits are raised with CAP_SYS_RESOURCE only;
	// systemd takes the nearest that it may have. A controller is in one hierarchy: where the
	// host has it in one of cgroup v1, the machine's has none.
	machine := strings.Fields(a.parts["machine"])
	bounding, err := strconv.ParseUint(machine[len(machine)-1], 16, 64)
	if err != nil {
		a.t.Fatalf("%v in %q", err, machine)
	}
	const sysResource = 24
	for _, limit := range []struct {
		text     string
		possible bool
	}{
		{"strobe-agent Max open files 16384 16384 files\n", true},
		{"strobe-collectionagent Max open files 65536 65536 files\n", bounding>>sysResource&1 == 1},
		{"strobe-agent memory.max 536870912\n", slices.Contains(machine, "memory")},
		{"strobe-agent pids.max 256\n", slices.Contains(machine, "pids")},
		{"strobe-collectionagent pids.max 1024\n", slices.Contains(machine, "pids")},
	} {
		if limit.possible {
			a.has("confined", limit.text)
		} else {
			a.t.Logf("not tried, this host does not let its namespaces have it: %s", limit.text)
		}
	}
}
