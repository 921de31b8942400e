// SPDX-License-Identifier: Apache-2.0

package pyroscope_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/collectionagent/api"
	"github.com/strobe-profiler/strobe/collectionagent/auth"
	"github.com/strobe-profiler/strobe/collectionagent/memory"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	"github.com/strobe-profiler/strobe/libpf"
)

// TestMemoryOfMessages sends questions that become much larger than they are.
func TestMemoryOfMessages(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *api.Config) { c.Memory = memory.NewBudget("-query-memory", 2<<20, 0) })
	many := "{" + cpu + `,"step":1,"stackTraceSelector":{"callSite":[{}` + strings.Repeat(",{}", 20_000) + "]}}"
	checkError(t, r.call("SelectSeries", many), 422, "resource_exhausted", "-query-memory")
	if w := r.call("ProfileTypes", "{}"); w.Code != http.StatusOK {
		t.Errorf("afterwards: %d %s", w.Code, w.Body)
	}
}

// TestMemoryOfProfiles asks for what is packed well: names of functions that are long and nearly the same, and
// labels that are the same in all series.
func TestMemoryOfProfiles(t *testing.T) {
	t.Parallel()
	s, b, d := memstore.New(), &store.Batch{}, &store.Definitions{Project: auth.DefaultProject}
	b.Series = []store.Series{{Project: auth.DefaultProject, Type: libpf.SampleOnCPU, Service: "shop", HostID: "1"}}
	for i := range 400 {
		frames := []libpf.Frame{{
			Type: libpf.PythonFrame, FileID: libpf.NewFileID(1, 1), AddressOrLineno: libpf.AddressOrLineno(i), //nolint:gosec // small
			FunctionName: strings.Repeat("f", 32<<10) + fmt.Sprint(i),
		}}
		d.Stacks = append(d.Stacks, store.Stack{Hash: libpf.HashTrace(frames), Frames: frames})
		b.Samples = append(b.Samples, store.Sample{Time: libpf.UnixTimeNs(testStart.UnixNano()), Stack: libpf.HashTrace(frames), Count: 1, Value: 1})
	}
	if _, err := s.Put(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	budget := memory.NewBudget("-query-memory", 64<<20, time.Second)
	r := newRig(t, func(c *api.Config) { c.Store, c.Memory = s, budget })
	checkError(t, r.call("SelectMergeProfile", "{"+cpu+"}"), 422, "resource_exhausted", "-query-memory")
	checkError(t, r.call("SelectMergeStacktraces", "{"+cpu+"}"), 422, "resource_exhausted", "-query-memory")
	checkError(t, r.get("/pyroscope/render?query=on_cpu&from=1795255200&until=1795255260"), 422, "resource_exhausted", "-query-memory")
	if n := budget.Used(); n != 0 {
		t.Errorf("%d bytes left", n)
	}
}

// TestUnreadIsCounted sends what is no question.
func TestUnreadIsCounted(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	r := newRig(t, func(c *api.Config) { c.Registerer = registry })
	r.call("ProfileTypes", "{")
	r.call("ProfileTypes", strings.Repeat("x", 1<<20))
	r.serve(httptest.NewRequest(http.MethodPost, "/querier.v1.QuerierService/ProfileTypes", http.NoBody), "Content-Type", "text/plain")
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "strobe_collectionagent_query_errors_total" {
			m := f.GetMetric()
			if len(m) != 1 || m[0].GetLabel()[0].GetValue() != "bad_request" || m[0].GetCounter().GetValue() != 3 {
				t.Errorf("got %v", m)
			}
			return
		}
	}
	t.Error("nothing is counted")
}
