// SPDX-License-Identifier: Apache-2.0

package query

import (
	"fmt"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	"github.com/strobe-profiler/strobe/libpf"
)

// eventStore has an event each second, of two kinds in turn, with and without a stack.
func eventStore(t *testing.T, n int) *memstore.Store {
	t.Helper()
	frames := []libpf.Frame{{Type: libpf.KernelFrame, FunctionName: "oom_kill_process"}, {Type: libpf.KernelFrame, FunctionName: "out_of_memory"}}
	stack := store.Stack{Hash: libpf.HashTrace(frames), Frames: frames}
	empty := store.Stack{Hash: libpf.HashTrace(nil)}
	b := &store.Batch{Series: []store.Series{
		{Type: libpf.SampleEvent, Host: "a", Labels: []libpf.Label{{Key: LabelEventName, Value: "oom"}, {Key: LabelEventTitle, Value: "killed"}}},
		{Type: libpf.SampleEvent, Host: "b"},
		{Type: libpf.SampleOnCPU, Host: "b"},
	}}
	for i := range n {
		at := testStart + libpf.UnixTimeNs(i)*libpf.UnixTimeNs(time.Second)
		hash := stack.Hash
		if i%4 == 3 {
			hash = empty.Hash
		}
		b.Samples = append(b.Samples, store.Sample{Time: at, Series: uint32(i % 2), Stack: hash, Count: 1, Value: 2}, //nolint:gosec // 0 or 1
			store.Sample{Time: at, Series: 2, Stack: stack.Hash, Count: 1, Value: 50})
	}
	s := memstore.New()
	if _, err := s.Put(t.Context(), &store.Definitions{Stacks: []store.Stack{stack, empty}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEvents(t *testing.T) {
	t.Parallel()
	const n = 100
	e := NewEngine(eventStore(t, n), Options{})
	text := func(e *Event) string {
		return fmt.Sprintf("%d %s %s/%s %t %d", (e.Time-testStart)/libpf.UnixTimeNs(time.Second), e.Origin.Host, e.Kind(), e.Title(), e.HasStack, e.Value)
	}
	for _, c := range []struct {
		query, frames string
		limit         int
		hidden        int64
		want          []string // the first of them
	}{
		{"", "", 1, n - 1, []string{"99 b / false 2"}},
		{"", "", 3, n - 3, []string{"99 b / false 2", "98 a oom/killed true 2", "97 b oom_kill_process/oom_kill_process true 2"}},
		{"", "", n, 0, []string{"99 b / false 2", "98 a oom/killed true 2"}},
		{`{host="a"}`, "", 10, n/2 - 10, []string{"98 a oom/killed true 2", "96 a oom/killed true 2"}},
		{"", `{function="out_of_memory"}`, 10, n*3/4 - 10, []string{"98 a oom/killed true 2", "97 b oom_kill_process/oom_kill_process true 2"}},
		{`{host="nobody"}`, "", 10, 0, nil},
	} {
		s := filtered(t, c.frames, "", "", "")
		s.Type = libpf.SampleEvent
		var err error
		if s.Matchers, err = ParseSelector(c.query); err != nil {
			t.Fatal(err)
		}
		got, err := e.Events(t.Context(), s, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		if got.Hidden != c.hidden || len(got.Rows) < len(c.want) || c.want == nil && len(got.Rows) > 0 {
			t.Errorf("%s %s: %d rows, %d hidden", c.query, c.frames, len(got.Rows), got.Hidden)
			continue
		}
		if want := int64(len(got.Rows)) + got.Hidden; got.Samples != want || got.Total != 2*want {
			t.Errorf("%s %s: %d samples, %d in all, of %d", c.query, c.frames, got.Samples, got.Total, want)
		}
		for i, want := range c.want {
			if got := text(&got.Rows[i]); got != want {
				t.Errorf("%s %s: event %d is %q, want %q", c.query, c.frames, i, got, want)
			}
		}
		for i := 1; i < len(got.Rows); i++ {
			if got.Rows[i].Time > got.Rows[i-1].Time {
				t.Errorf("event %d is newer than the one before", i)
			}
		}
	}
}
