// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/strobe-profiler/strobe/collectionagent/ingest"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	"github.com/strobe-profiler/strobe/libpf"
)

// TestSnapshots checks that answers about memory say that they add up snapshots, in all forms.
func TestSnapshots(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	frames := []libpf.Frame{{Type: libpf.PythonFrame, FunctionName: "load", SourceFile: "a.py"}}
	hash := libpf.HashTrace(frames)
	if _, err := s.Put(t.Context(), &store.Definitions{Project: ingest.DefaultProject, Stacks: []store.Stack{{Hash: hash, Frames: frames}}}); err != nil {
		t.Fatal(err)
	}
	b := &store.Batch{}
	for _, typ := range []libpf.SampleType{libpf.SampleInuseSpace, libpf.SampleAllocSpace} {
		b.Series = append(b.Series, store.Series{Project: ingest.DefaultProject, Type: typ, Service: "shop"})
		for i := range 2 {
			b.Samples = append(b.Samples, store.Sample{
				Time: libpf.UnixTimeNs(testNow.Add(-time.Duration(i+1) * time.Second).UnixNano()), Series: uint32(len(b.Series) - 1), //nolint:gosec // few
				Stack: hash, Count: 1, Value: 100 << 20,
			})
		}
	}
	if _, err := s.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	h := newTestHandler(t, s)
	for typ, snapshot := range map[string]bool{"inuse_space": true, "alloc_space": false} {
		for _, question := range []string{"flamegraph", "top", "timeline", "totals", "diff"} {
			body := get(t, h, "/api/v1/"+question+"?type="+typ).Body.String()
			if !strings.Contains(body, `"unit":"bytes"`) || !strings.Contains(body, `"total":209715200,`) || strings.Contains(body, `"snapshot":true`) != snapshot {
				t.Errorf("%s of %s: %s", question, typ, body)
			}
		}
		if body := get(t, h, "/api/v1/folded?type="+typ).Body.String(); body != "load 209715200\n" {
			t.Errorf("%s: folded %q", typ, body)
		}
		p, err := profile.ParseData(bytes.Clone(get(t, h, "/api/v1/pprof?type="+typ).Body.Bytes()))
		if err != nil || len(p.SampleType) != 1 || p.SampleType[0].Type != typ || p.SampleType[0].Unit != "bytes" || p.Sample[0].Value[0] != 200<<20 {
			t.Errorf("%s: pprof %v %v", typ, p, err)
		}
	}
}
