// SPDX-License-Identifier: Apache-2.0

package restricted

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/strobe-profiler/strobe/support/program"
	"github.com/strobe-profiler/strobe/support/skip"
)

// memoryGroup is a cgroup with a limit.
type memoryGroup struct {
	version     int
	dir, events string
	usage       string // the file with what is taken of it
	peak        string // that with the most that was, which a kernel before 5.19 does not have in version 2
}

// newMemoryGroup makes a cgroup with a limit, in whichever hierarchy has the controller.
func newMemoryGroup(t *testing.T, limit int64) *memoryGroup {
	t.Helper()
	for _, h := range []struct {
		version                          int
		root, limit, usage, events, peak string
	}{
		{1, "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "memory.oom_control", "memory.max_usage_in_bytes"},
		{2, "/sys/fs/cgroup", "memory.max", "memory.current", "memory.events", "memory.peak"},
	} {
		dir := filepath.Join(h.root, groupName())
		if os.Mkdir(dir, 0o755) != nil { //nolint:gosec // a cgroup
			continue
		}
		if os.WriteFile(filepath.Join(dir, h.limit), []byte(strconv.FormatInt(limit, 10)), 0o600) != nil {
			_ = os.Remove(dir)
			continue // its controller is elsewhere
		}
		t.Cleanup(func() { _ = os.Remove(dir) })
		return &memoryGroup{h.version, dir, filepath.Join(dir, h.events), filepath.Join(dir, h.usage), filepath.Join(dir, h.peak)}
	}
	skip.Because(t, "needs a hierarchy of cgroups with the memory controller")
	return nil
}

// below makes a group within, without a limit of its own.
func (g *memoryGroup) below(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(g.dir, "below")
	if err := os.Mkdir(dir, 0o755); err != nil { //nolint:gosec // a cgroup
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	return dir
}

// killed reports whether somebody in it took more than there is.
func (g *memoryGroup) killed() bool {
	b, err := os.ReadFile(g.events)
	return err != nil || !strings.Contains(string(b)+"\n", "oom_kill 0\n")
}

// taken is what is taken of the limit and cannot be had back: not the pages of files.
func (g *memoryGroup) taken(t *testing.T) int64 {
	t.Helper()
	stat, err := os.ReadFile(filepath.Join(g.dir, "memory.stat"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(g.usage)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(stat)) {
		switch key, value, _ := strings.Cut(strings.TrimSpace(line), " "); key {
		case "active_file", "inactive_file":
			of, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			n -= of
		}
	}
	return n
}

// TestMemory starts the agent in cgroups that allow less than its default. It must take what
// there is and profile, or say what it needs; it must never be killed. support/kerneltest runs
// it where the cgroups are those of version 2.
func TestMemory(t *testing.T) {
	skip.UnlessRoot(t)
	burn(t)
	// It needs a little more for each CPU: internal/hostmemory.
	enough := int64(96<<20 + max(runtime.NumCPU()-2, 0)<<20)
	for name, test := range map[string]struct {
		limit int64
		below bool // the limit is that of the group above
		fits  bool
	}{
		"32 MiB":       {32 << 20, false, false},
		"64 MiB":       {64 << 20, false, false},
		"64 MiB above": {64 << 20, true, false},
		"enough":       {enough, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := newMemoryGroup(t, test.limit)
			dir := g.dir
			if test.below {
				dir = g.below(t)
			}
			r := &restriction{Cgroups: []string{dir}}
			ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
			defer cancel()
			address := program.FreeAddress(t)
			a := program.Start(t, r.command(ctx, t, agent, "-http-address", address, "-disable-tls", "-spool-dir", "off", "-collection-agent", "127.0.0.1:1"))
			t.Cleanup(func() {
				if g.killed() {
					t.Error("it took more than there is and was killed")
				}
			})
			var err error
			if test.fits {
				most, n := int64(0), 0
				program.Eventually(t, patience, "samples", func(ctx context.Context) bool {
					n, most = samples(ctx, address), max(most, g.taken(t))
					return n > 60
				})
				a.Stop()
				t.Logf("memory in a cgroup v%d of %s: %d samples, at most %d KiB taken", g.version, name, n, most>>10)
				// A sixteenth is for the pages of files: internal/hostmemory.
				if room := test.limit - test.limit/16; most > room {
					t.Errorf("it takes %d KiB and leaves less than a sixteenth of %d", most>>10, test.limit>>10)
				}
			} else {
				err = a.Wait()
				t.Logf("memory in a cgroup v%d of %s: refused", g.version, name)
			}
			text := a.Log()
			switch {
			case test.fits && !strings.Contains(text, "there is less memory than -memory-limit: the agent takes less"):
				t.Errorf("it does not say that it takes less:\n%s", text)
			case !test.fits && (a.ProcessState.ExitCode() != 1 ||
				!strings.Contains(text, fmt.Sprintf("agent: cannot profile this host: this cgroup or host has %dMiB of memory, and profiling needs at least ", test.limit>>20))):
				t.Errorf("%v: it does not say what it needs:\n%s", err, text)
			}
			doctor := r.run(t, "doctor")
			if want := !test.fits; (doctor.status != 0) != want || !strings.Contains(doctor.stdout, "raise the limit to ") {
				t.Errorf("doctor: status %d\n%s", doctor.status, doctor.stdout)
			}
		})
	}
}

// TestMemoryOfDoctor runs the doctor where there is much less than the agent needs, again and again:
// it says so, and is not killed before it can, also where it has to read the kernel's types into memory.
func TestMemoryOfDoctor(t *testing.T) {
	skip.UnlessRoot(t)
	const limit, runs = 32 << 20, 5
	for name, unmappable := range map[string]bool{"types mapped": false, "types read": true} {
		t.Run(name, func(t *testing.T) {
			g := newMemoryGroup(t, limit)
			r := &restriction{Cgroups: []string{g.dir}, Unmappable: unmappable}
			for range runs {
				got := r.run(t, "doctor")
				if got.status != refuses || !strings.HasPrefix(got.stdout, "cannot profile, for want of: memory\n") ||
					!strings.Contains(got.stdout, "32MiB in this cgroup or host") || !strings.Contains(got.stdout, "raise the limit to ") {
					t.Fatalf("status %d\n%s\n%s", got.status, got.stdout, got.stderr)
				}
			}
			if g.killed() {
				t.Error("it took more than there is and was killed")
			}
			most, err := os.ReadFile(g.peak)
			t.Logf("memory of the doctor in a cgroup v%d, %s: at most %s bytes, with pages of files, which can be had back %v", g.version, name, bytes.TrimSpace(most), err)
		})
	}
}

// burn gives the agent something to sample while the test runs.
func burn(t *testing.T) {
	t.Helper()
	cmd := exec.Command(os.Args[0]) //nolint:gosec // this test
	cmd.Env = []string{burnVar + "=1"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// samples is how many an agent has taken.
func samples(ctx context.Context, address string) int {
	for line := range strings.Lines(program.Get(ctx, "http://"+address+"/metrics")) {
		value, ok := strings.CutPrefix(line, "strobe_agent_reporter_captured_samples_total ")
		if !ok {
			continue
		}
		if n, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil {
			return int(n)
		}
	}
	return 0
}
