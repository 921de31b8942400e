// SPDX-License-Identifier: Apache-2.0

package restricted

import (
	"context"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/support/program"
)

// TestFullDisk gives the spool of an agent without a server next to no room. It must say so
// and count it, and go on with what fits into memory.
func TestFullDisk(t *testing.T) {
	startSubjects(t)
	dir := t.TempDir()
	r := &restriction{Full: []string{dir}}
	address := program.FreeAddress(t)
	a := program.Start(t, r.command(t.Context(), t, agent, "-http-address", address, "-disable-tls", "-spool-dir", dir+"/spool",
		"-collection-agent", "127.0.0.1:1", "-samples-per-second", "499", "-reporter-interval", "300ms"))
	full := func(ctx context.Context) bool {
		var s struct {
			Delivery struct {
				Spool struct{ State string }
			}
		}
		return json.Unmarshal([]byte(program.Get(ctx, "http://"+address+"/status")), &s) == nil && strings.Contains(s.Delivery.Spool.State, "no space left on device")
	}
	program.Eventually(t, time.Minute, "full disk", full)
	if metrics := program.Get(t.Context(), "http://"+address+"/metrics"); !regexp.MustCompile(`(?m)^strobe_agent_spool_errors_total\{reason="no_space"\} [1-9]`).MatchString(metrics) {
		t.Errorf("it does not count the failures:\n%s", regexp.MustCompile(`(?m)^strobe_agent_spool.*$`).FindAllString(metrics, -1))
	}
	before := samples(t.Context(), address)
	program.Eventually(t, time.Minute, "more samples", func(ctx context.Context) bool { return samples(ctx, address) > before+200 })
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
