// SPDX-License-Identifier: Apache-2.0

package restricted

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/support/golden"
	"github.com/strobe-profiler/strobe/support/skip"
)

// Exit statuses of the doctor.
const (
	profiles = 0
	refuses  = 1
)

// TestMessages compares what the agent says where something is missing with golden files: the
// lines of the doctor that are not good, the exit statuses, and the first line of a recording.
func TestMessages(t *testing.T) {
	skip.UnlessRoot(t)
	three := []int{bpf, perfmon, ptrace}
	for title, test := range map[string]struct {
		r      restriction
		status int
	}{
		"no-root":             {restriction{Nobody: true, Capabilities: []int{}}, refuses},
		"three-capabilities":  {restriction{Nobody: true, Capabilities: three}, profiles},
		"no-perfmon":          {restriction{Nobody: true, Capabilities: []int{bpf, ptrace}}, refuses},
		"no-bpf":              {restriction{Nobody: true, Capabilities: []int{perfmon, ptrace}}, refuses},
		"user-namespace":      {restriction{UserNamespace: true}, refuses},
		"seccomp-bpf":         {restriction{Refused: unix.SYS_BPF}, refuses},
		"seccomp-perf":        {restriction{Refused: unix.SYS_PERF_EVENT_OPEN}, refuses},
		"no-btf":              {restriction{Hidden: []string{"/sys/kernel/btf"}}, refuses},
		"no-sysfs":            {restriction{Unmounted: []string{"/sys"}}, refuses},
		"no-tracefs":          {restriction{Unmounted: []string{"/sys/kernel/tracing", "/sys/kernel/debug"}}, profiles},
		"pid-namespace":       {restriction{PIDNamespace: true}, profiles},
		"proc-of-others":      {restriction{PIDNamespace: true, HostProc: true}, profiles},
		"hidepid":             {restriction{HidePID: true, Nobody: true, Capabilities: three}, profiles},
		"read-only":           {restriction{ReadOnly: true}, profiles},
		"no-locked-memory":    {restriction{Limits: map[int]uint64{unix.RLIMIT_MEMLOCK: 0}}, profiles},
		"few-files":           {restriction{Limits: map[int]uint64{unix.RLIMIT_NOFILE: 24}}, refuses},
		"nothing-but-a-file":  {restriction{Root: scratch(t)}, profiles},
		"docker-capabilities": {restriction{Capabilities: dockerDefault}, refuses},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			test.r.messages(t, title, test.status, agent)
		})
	}
}

// messages compares what the agent says, run by a command, with a golden file.
func (r *restriction) messages(t *testing.T, title string, status int, command ...string) {
	t.Helper()
	// Which runtimes of containers a host has is its own affair.
	for _, dir := range []string{"/run", "/var/snap"} {
		if _, err := os.Stat(dir); err == nil {
			r.Hidden = append(r.Hidden, dir)
		}
	}
	var b strings.Builder
	got := r.runProgram(t, command[0], append(command[1:], "doctor", "-o", "json")...)
	describe(t, &b, got, title == "no-tracefs")
	if got.status != status {
		t.Errorf("status of the doctor is %d", got.status)
	}
	got = r.runProgram(t, command[0], append(command[1:], "record", "-d", "200ms", "-a", "-o", "-")...)
	fmt.Fprintf(&b, "\nagent record: %d\n%s\n", got.status, plain(firstLine(got.stderr)))
	golden.Equal(t, filepath.Join("testdata", title+".txt"), b.String())
}

// scratch makes a directory with the agent and nothing else, as an image FROM scratch has it.
func scratch(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, sub := range []string{"proc", "sys"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil { //nolint:gosec // a mount point
			t.Fatal(err)
		}
	}
	inside := filepath.Join(dir, agent)
	if err := os.MkdirAll(filepath.Dir(inside), 0o755); err != nil { //nolint:gosec // likewise
		t.Fatal(err)
	}
	copyFile(t, agent, inside, 0o755)
	return dir
}

// dockerDefault are the capabilities of a container that nobody gave more.
var dockerDefault = []int{
	unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_FSETID, unix.CAP_KILL, unix.CAP_SETGID, unix.CAP_SETUID,
	unix.CAP_SETPCAP, unix.CAP_NET_BIND_SERVICE, unix.CAP_NET_RAW, unix.CAP_SYS_CHROOT, unix.CAP_MKNOD, unix.CAP_AUDIT_WRITE, unix.CAP_SETFCAP,
}

// describe writes what the doctor finds fault with. What differs from host to host is left out.
func describe(t *testing.T, b *strings.Builder, got result, tracefs bool) {
	t.Helper()
	var report struct {
		Verdict      string
		Capabilities []struct {
			Name, Detail, Effect, Fix string
			OK, Required              bool
		}
	}
	if err := json.Unmarshal([]byte(got.stdout), &report); err != nil {
		t.Fatalf("%v\n%s\n%s", err, got.stdout, got.stderr)
	}
	fmt.Fprintf(b, "agent doctor: %d\n", got.status)
	if got.status != 0 {
		fmt.Fprintln(b, report.Verdict)
	}
	for _, c := range report.Capabilities {
		switch c.Name {
		case "hardware cycles (PMU)", "fentry", "kprobe", "file fault tracepoint", "iterator over mappings", "cgroup v2", "memory", "BTF tracepoints":
			continue
		case "tracefs":
			if !tracefs {
				continue
			}
		}
		if c.OK || (c.Effect == "" && !c.Required) {
			continue
		}
		fmt.Fprintf(b, "\n%s: %s\n  effect: %s\n", c.Name, plain(c.Detail), c.Effect)
		if c.Fix != "" {
			fmt.Fprintf(b, "  fix: %s\n", plain(c.Fix))
		}
	}
}

var varying = regexp.MustCompile(`[0-9][0-9,.]* (samples|s|lost|with|processes)\b`)

// plain takes out what is different each time.
func plain(s string) string {
	s = regexp.MustCompile(`^time=\S+ `).ReplaceAllString(s, "")
	s = regexp.MustCompile(`by [0-9]+ `).ReplaceAllString(s, "by N ") // more with each CPU
	return varying.ReplaceAllString(s, "N $1")
}
