// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"strings"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/clickhouse/clickhousetest"
	"github.com/strobe-profiler/strobe/libpf"
)

// TestRetention lets the servers expire samples by the ages that are configured, by
// project and type, and changes the ages at the next start.
func TestRetention(t *testing.T) {
	t.Parallel()
	// The test itself does not wait until the server gets round to it, which takes one more.
	may := append(clickhousetest.DocumentedGrants(t, "retention"), "GRANT OPTIMIZE ON retention.*")
	server := clickhousetest.NewCurrent(t, &clickhousetest.User{Name: "default", Grants: may})
	server.Start()
	const day = 24 * time.Hour
	open := func(r store.Retention) *Store {
		t.Helper()
		s, err := Open(t.Context(), Config{DSN: server.DSN("retention"), GroupWindow: 1, MaintainEvery: -1, Retention: r})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	// left waits until the server has as many rows as it should, of each kind.
	var s *Store
	left := func(when string, want ...string) {
		t.Helper()
		var got []string
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
			// Now, not when the server gets round to it.
			if err := s.conn.Exec(t.Context(), "OPTIMIZE TABLE retention.samples FINAL", nil); err != nil {
				t.Fatal(err)
			}
			got = server.Query("SELECT concat(project, ' ', toString(type), ' ', toString(count())) FROM retention.samples GROUP BY project, type ORDER BY project, type")
			if strings.Join(got, ",") == strings.Join(want, ",") {
				return
			}
		}
		t.Errorf("%s: %q are left, want %q", when, got, want)
	}
	s = open(store.Retention{
		Ages: store.Ages{Samples: 7 * day, Minutes: 30 * day, Hours: 300 * day},
		Rules: []store.RetentionRule{
			{Project: "short", Type: libpf.SampleOffCPU, Ages: store.Ages{Samples: 2 * day}},
			{Project: "short", Ages: store.Ages{Samples: 4 * day}},
		},
	})
	seq := uint64(0)
	for _, project := range []string{"default", "short"} {
		for _, kind := range []libpf.SampleType{libpf.SampleOnCPU, libpf.SampleOffCPU} {
			seq++
			b := simpleBatch(seq, 10)
			b.ID.Project, b.Series[0].Project, b.Series[0].Type = project, project, kind
			// Three days ago, but not around midnight: parts are of a day, and go whole.
			noon := time.Now().Add(-3 * day).Truncate(day).Add(6 * time.Hour)
			if kind == libpf.SampleOffCPU {
				noon = noon.Add(-day) // of other parts than those that stay longer
			}
			for i := range b.Samples {
				b.Samples[i].Time = libpf.UnixTimeNs(noon.UnixNano() + int64(i))
			}
			if _, err := s.Append(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
	}
	left("by rules", "default 1 10", "default 2 10", "short 1 10")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before := server.Query("SELECT value FROM retention.settings FINAL WHERE name = 'expiry of samples'")
	s = open(store.Retention{Ages: store.Ages{Samples: 2 * day, Minutes: 30 * day, Hours: 300 * day}})
	left("after a change")
	if n, c := total(t, s); n != 20 || c.Resolution < store.RollUpMinute {
		t.Errorf("the sums of what expired have %d at %v, want 20 of roll-ups", n, c.Resolution)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if after := server.Query("SELECT value FROM retention.settings FINAL WHERE name = 'expiry of samples'"); after[0] == before[0] {
		t.Errorf("the expiry is still %q", after)
	}
	// What does not expire does not.
	s = open(store.Retention{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if text := server.Query("SELECT create_table_query FROM system.tables WHERE database = 'retention' AND name = 'samples'"); strings.Contains(text[0], " TTL ") {
		t.Errorf("samples expire without an age: %s", text[0])
	}
}
