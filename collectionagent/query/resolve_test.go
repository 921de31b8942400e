// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/libpf"
)

// manyFrames defines stacks of frames that no other stack has but the last.
type manyFrames struct{ asked int }

func frameOf(stack uint64, i int) libpf.Frame {
	if i == 2 {
		stack = 0
	}
	return libpf.Frame{Type: libpf.PythonFrame, FunctionName: fmt.Sprintf("f%d.%d", stack, i), SourceFile: "a.py"}
}

func (m *manyFrames) Stacks(_ context.Context, _ string, hashes []libpf.TraceHash) (map[libpf.TraceHash][]libpf.Frame, error) {
	found := make(map[libpf.TraceHash][]libpf.Frame)
	m.asked += len(hashes)
	for _, h := range hashes {
		switch {
		case h.Lo()%10 == 8:
			found[h] = []libpf.Frame{}
		case h.Lo()%10 == 9:
		default:
			found[h] = []libpf.Frame{frameOf(h.Lo(), 0), frameOf(h.Lo(), 1), frameOf(h.Lo(), 2)}
		}
	}
	return found, nil
}

func (*manyFrames) Symbols(context.Context, string, []libpf.FrameID) (map[libpf.FrameID][]libpf.SourceLine, error) {
	return nil, nil
}

func (*manyFrames) Executables(context.Context, string, []libpf.FileID) (map[libpf.FileID]libpf.Executable, error) {
	return nil, nil
}

// TestResolverStartsAnew resolves more frames than there is room for, and then some that fit.
func TestResolverStartsAnew(t *testing.T) {
	t.Parallel()
	const budget = 128 << 10 // some 60 frames
	store := &manyFrames{}
	now := time.Unix(1_000_000, 0)
	r := newResolver(store, budget, func() time.Time { return now }, newMetrics())
	resolve := func(first, n uint64) {
		hashes := make([]libpf.TraceHash, n)
		for i := range hashes {
			hashes[i] = libpf.NewTraceHash(1, first+uint64(i))
		}
		res, err := r.resolve(t.Context(), nil, "p", hashes)
		if err != nil {
			t.Error(err)
			return
		}
		for i, h := range hashes {
			var got []string
			for _, f := range res.stacks[i] {
				got = append(got, res.entries[f].frame.FunctionName)
			}
			want := []string{frameOf(h.Lo(), 0).FunctionName, frameOf(h.Lo(), 1).FunctionName, frameOf(h.Lo(), 2).FunctionName}
			switch h.Lo() % 10 {
			case 8:
				want = []string{"empty stack"}
			case 9:
				want = []string{"unknown stack"}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) || res.unknown[i] != (h.Lo()%10 == 9) {
				t.Errorf("stack %d is %v, unknown %v; want %v", h.Lo(), got, res.unknown[i], want)
			}
		}
	}
	for i := range uint64(50) {
		now = now.Add(time.Duration(i%3) * leastAge / 2)
		resolve(i*7, 1+i%40)
		if used := r.used(); used > budget {
			t.Fatalf("%d bytes are remembered of %d", used, budget)
		}
	}
	resolve(10_000, 8)
	resolve(20_000, 9)
	asked := store.asked
	resolve(10_000, 8)
	if store.asked != asked {
		t.Errorf("asked for %d stacks again", store.asked-asked)
	}
}
