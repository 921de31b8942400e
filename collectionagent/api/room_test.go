// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/auth"
	"github.com/strobe-profiler/strobe/collectionagent/memory"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	"github.com/strobe-profiler/strobe/libpf"
)

// TestTextsOfRowsAreClaimed asks for rows that share long texts in memory, and would each
// have their own in the answer.
func TestTextsOfRowsAreClaimed(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	b := &store.Batch{}
	for i := range 64 {
		b.Series = append(b.Series, store.Series{
			Project: auth.DefaultProject, Type: libpf.SampleEvent, Service: strings.Repeat("\x01", 64<<10), Host: "a", HostID: "1", PID: libpf.PID(i + 1), //nolint:gosec // small
		})
		b.Samples = append(b.Samples, store.Sample{
			Time: libpf.UnixTimeNs(testNow.Add(-time.Minute).UnixNano()), Series: uint32(i), Count: 1, Value: 1, SpanID: [8]byte{1}, //nolint:gosec // small
		})
	}
	if _, err := s.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	budget := memory.NewBudget("-query-memory", 16<<20, time.Second)
	h := letIn(New(Config{Store: s, Memory: budget, Now: func() time.Time { return testNow }}))
	for _, target := range []string{"events?limit=10000", "exemplars?type=event&limit=10000", "tracks?type=event&by=pid"} {
		if w := get(t, h, "/api/v1/"+target); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "-query-memory") {
			t.Errorf("%s: %d %.200s", target, w.Code, w.Body)
		}
	}
	if w := get(t, h, "/api/v1/events?limit=1"); w.Code != http.StatusOK {
		t.Errorf("one event: %d %.200s", w.Code, w.Body)
	}
	if n := budget.Used(); n != 0 {
		t.Errorf("%d bytes left", n)
	}
}

func TestEncodedSize(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "main.main", "a\"b\\c", "\x00\x1f\n", "é\u2028", "\xff\xfe", strings.Repeat("<", 99)} {
		b, err := encode(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := encodedSize(text); got < int64(len(b)) || !json.Valid(b) {
			t.Errorf("%s: %d, is %d", fmt.Sprintf("%q", text), got, len(b))
		}
	}
}
