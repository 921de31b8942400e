// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"context"
	"os"
	"runtime/pprof"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/support/skip"
)

// labelSink ends the run when it has seen enough samples with labels.
type labelSink struct {
	t    *testing.T
	stop func()
	seen map[string][]libpf.Label
	n    int
}

func (s *labelSink) ReportExecutable(*libpf.Executable) {}

func (s *labelSink) ReportSample(x *libpf.Sample) {
	for _, l := range x.Labels {
		if l.Key == "0work" {
			s.seen[l.Value] = x.Labels
			s.n++
		}
	}
	if s.n > 100 && len(s.seen) > 1 {
		s.stop()
	}
}

// TestGoroutineLabels labels goroutines of this very process.
func TestGoroutineLabels(t *testing.T) {
	skip.UnlessRoot(t)
	// Loading the programs takes an emulated CPU most of a minute, and more where two
	// goroutines burn it meanwhile.
	tr, err := New(Config{SamplesPerSecond: 199, Filter: Filter{IncludePIDs: []libpf.PID{libpf.PID(os.Getpid())}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	long := strings.Repeat("é", 100)
	many := pprof.Labels("0work", "many", "a", "1", "b", "2", "c", long, "d", "x\ny", "e", "", "f", "6", "g", "7", "h", "8", "i", "9", "j", "10")
	few := pprof.Labels("0work", "few", "a key that is too long to be kept whole", "v")
	done := make(chan struct{})
	burn := func(ctx context.Context) {
		for ctx.Err() == nil { //nolint:revive // it is to burn CPU time
		}
		done <- struct{}{}
	}
	go pprof.Do(ctx, many, burn)
	go pprof.Do(ctx, few, burn)
	sink := &labelSink{t: t, stop: stop, seen: map[string][]libpf.Label{}}
	if err := tr.Run(ctx, sink); err != nil {
		t.Fatal(err)
	}
	<-done
	<-done
	want := []libpf.Label{{Key: "0work", Value: "few"}, {Key: "a key that is too long t…", Value: "v"}}
	if diff := cmp.Diff(want, sink.seen["few"]); diff != "" {
		t.Errorf("few labels (-want +got):\n%s", diff)
	}
	// The list is sorted by key: of 11 labels the last is left out, and counted.
	got := map[string]string{}
	for _, l := range sink.seen["many"] {
		got[l.Key] = l.Value
	}
	if _, ok := got["j"]; ok || len(got) != 10 || got["c"] != strings.Repeat("é", 32)+"…" || got["d"] != "x?y" || got["a"] != "1" {
		t.Errorf("many labels: %v", got)
	}
}
