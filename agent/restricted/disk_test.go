// SPDX-License-Identifier: Apache-2.0

package restricted

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/support/program"
)

// TestFullDisk fills the disk of an agent's spool, which has samples on it because there is no
// server. The agent must say so and count it, and go on with what fits into memory.
func TestFullDisk(t *testing.T) {
	startSubjects(t)
	dir := t.TempDir()
	r := &restriction{Small: []string{dir}}
	address := program.FreeAddress(t)
	a := program.Start(t, r.command(t.Context(), t, agent, "-http-address", address, "-disable-tls", "-spool-dir", dir+"/spool",
		"-collection-agent", "127.0.0.1:1", "-samples-per-second", "499", "-reporter-interval", "300ms"))
	delivery := func(ctx context.Context) (spooled uint64, state string) {
		var s struct {
			Delivery struct {
				Spooled uint64 `json:"spooled_samples"`
				Spool   struct{ State string }
			}
		}
		_ = json.Unmarshal([]byte(program.Get(ctx, "http://"+address+"/status")), &s)
		return s.Delivery.Spooled, s.Delivery.Spool.State
	}
	program.Eventually(t, 5*time.Minute, "samples on disk", func(ctx context.Context) bool {
		spooled, _ := delivery(ctx)
		return spooled > 0
	})
	fill(t, filepath.Join("/proc", strconv.Itoa(a.Process.Pid), "root", dir, "of-somebody-else"))
	program.Eventually(t, 5*time.Minute, "full disk", func(ctx context.Context) bool {
		_, state := delivery(ctx)
		return strings.Contains(state, "no space left on device")
	})
	if metrics := program.Get(t.Context(), "http://"+address+"/metrics"); !regexp.MustCompile(`(?m)^strobe_agent_spool_errors_total\{reason="no_space"\} [1-9]`).MatchString(metrics) {
		t.Errorf("it does not count the failures:\n%s", regexp.MustCompile(`(?m)^strobe_agent_spool.*$`).FindAllString(metrics, -1))
	}
	before := samples(t.Context(), address)
	program.Eventually(t, 5*time.Minute, "more samples", func(ctx context.Context) bool { return samples(ctx, address) > before+200 })
	status := r.run(t, "status", "-address", address)
	if want := "does not work, so samples wait in memory only: "; !strings.Contains(status.stdout, want) || !strings.Contains(status.stdout, "no space left on device") {
		t.Errorf("agent status: %d\n%s%s", status.status, status.stdout, status.stderr)
	}
	a.Stop()
	text := a.Log()
	if n := strings.Count(text, "the spool does not work; batches stay in memory"); n != 1 || !strings.Contains(text, "reason=no_space") {
		t.Errorf("it says %d times that the spool does not work:\n%s", n, text)
	}
	sum := regexp.MustCompile(`msg=stopped captured=(\d+) stored=0 spooled=(\d+) dropped=(\d+)`).FindStringSubmatch(text)
	if sum == nil {
		t.Fatalf("no ledger at the end:\n%s", text)
	}
	var n [4]int
	for i := 1; i < len(sum); i++ {
		n[i], _ = strconv.Atoi(sum[i])
	}
	if n[1] < before || n[2] == 0 || n[1] != n[2]+n[3] {
		t.Errorf("captured %d, of which %d are on disk and %d lost", n[1], n[2], n[3])
	}
}

// fill writes a file until its disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // nothing of it is read
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}
