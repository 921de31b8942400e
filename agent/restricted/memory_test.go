// SPDX-License-Identifier: Apache-2.0

package restricted

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

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
			address := freeAddress(t)
			cmd := r.command(ctx, t, agent, "-http-address", address, "-disable-tls", "-spool-dir", "off", "-collection-agent", "127.0.0.1:1")
			var log bytes.Buffer
			cmd.Stderr = &log
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if test.fits {
				if !waitForSamples(ctx, address) {
					t.Errorf("no samples")
				}
				_ = cmd.Process.Signal(syscall.SIGTERM)
			}
			err := cmd.Wait()
			text := log.String()
			switch {
			case killed():
				t.Errorf("it took more than there is and was killed: %v\n%s", err, text)
			case test.fits && cmd.ProcessState.ExitCode() < 0:
				t.Errorf("%v\n%s", err, text)
			case test.fits && !strings.Contains(text, "there is less memory than -memory-limit: the agent takes less"):
				t.Errorf("it does not say that it takes less:\n%s", text)
			case !test.fits && (cmd.ProcessState.ExitCode() != 1 ||
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

// waitForSamples waits until an agent has taken some hundred.
func waitForSamples(ctx context.Context, address string) bool {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		for line := range strings.Lines(get(ctx, "http://"+address+"/metrics")) {
			value, ok := strings.CutPrefix(line, "strobe_agent_reporter_captured_samples_total ")
			if !ok {
				continue
			}
			if n, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil && n > 60 {
				return true
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
}

func get(ctx context.Context, url string) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return ""
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	b, _ := io.ReadAll(resp.Body)
	return string(b)
}

// freeAddress returns an address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // a test
	return l.Addr().String()
}
