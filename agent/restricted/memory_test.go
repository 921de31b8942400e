// SPDX-License-Identifier: Apache-2.0

package restricted

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/support/program"
	"github.com/strobe-profiler/strobe/support/skip"
)

// memoryCgroup makes a cgroup with a limit, in whichever hierarchy has the controller.
func memoryCgroup(t *testing.T, limit int64) (dir string, killed func() bool) {
	t.Helper()
	for _, h := range []struct{ root, limit, events string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.oom_control"},
		{"/sys/fs/cgroup", "memory.max", "memory.events"},
	} {
		dir := filepath.Join(h.root, fmt.Sprintf("strobe-restricted-%d-%d", os.Getpid(), limit>>20))
		if os.Mkdir(dir, 0o755) != nil { //nolint:gosec // a cgroup
			continue
		}
		if os.WriteFile(filepath.Join(dir, h.limit), []byte(strconv.FormatInt(limit, 10)), 0o600) != nil {
			_ = os.Remove(dir)
			continue // its controller is elsewhere
		}
		t.Cleanup(func() { _ = os.Remove(dir) })
		return dir, func() bool {
			b, err := os.ReadFile(filepath.Join(dir, h.events)) //nolint:gosec // ours
			return err != nil || !strings.Contains(string(b)+"\n", "oom_kill 0\n")
		}
	}
	skip.Because(t, "needs a hierarchy of cgroups with the memory controller")
	return "", nil
}

// TestMemory starts the agent in cgroups that allow less than its default. It must take what
// there is and profile, or say what it needs; it must never be killed.
func TestMemory(t *testing.T) {
	startSubjects(t)
	for _, test := range []struct {
		limit int64
		fits  bool
	}{{32 << 20, false}, {64 << 20, false}, {96 << 20, true}} {
		t.Run(fmt.Sprintf("%d MiB", test.limit>>20), func(t *testing.T) {
			dir, killed := memoryCgroup(t, test.limit)
			r := &restriction{Cgroups: []string{dir}}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			address := program.FreeAddress(t)
			a := program.Start(t, r.command(ctx, t, agent, "-http-address", address, "-disable-tls", "-spool-dir", "off", "-collection-agent", "127.0.0.1:1"))
			t.Cleanup(func() {
				if killed() {
					t.Error("it took more than there is and was killed")
				}
			})
			var err error
			if test.fits {
				program.Eventually(t, time.Minute, "samples", func(ctx context.Context) bool { return samples(ctx, address) > 60 })
				a.Stop()
			} else {
				err = a.Wait()
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
