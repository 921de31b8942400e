// SPDX-License-Identifier: Apache-2.0

package query

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	"github.com/strobe-profiler/strobe/libpf"
)

// TestFoldInterpreters leaves an interpreter's own frames out: what they take is
// their caller's, also when the leaf is one of them.
func TestFoldInterpreters(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	python := libpf.NewFileID(1, 2)
	script := func(name string) libpf.Frame {
		return libpf.Frame{Type: libpf.PythonFrame, FunctionName: name, SourceFile: "a.py", SourceLine: 1}
	}
	loop := libpf.Frame{Type: libpf.NativeFrame, FileID: python, AddressOrLineno: 16}
	frames := []libpf.Frame{loop, script("leaf"), loop, script("main"), loop}
	hash := libpf.HashTrace(frames)
	if _, err := s.Put(t.Context(), &store.Definitions{
		Stacks:      []store.Stack{{Hash: hash, Frames: frames}},
		Executables: []libpf.Executable{{FileID: python, FileName: "python3", Runtime: "python"}},
		Symbols:     []store.Symbol{{Frame: loop.ID(), Lines: []libpf.SourceLine{{Function: "eval"}}}},
	}); err != nil {
		t.Fatal(err)
	}
	b := &store.Batch{
		Series:  []store.Series{{Type: libpf.SampleOnCPU, Service: "a"}},
		Samples: []store.Sample{{Time: testStart, Stack: hash, Count: 1, Value: 10}},
	}
	if _, err := s.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	e := NewEngine(s, Options{})
	for fold, want := range map[bool][]string{
		false: {"all 10", "eval interpreter 10", "main python 10", "eval interpreter 10", "leaf python 10", "eval interpreter 10 self"},
		true:  {"all 10", "main python 10", "leaf python 10 self"},
	} {
		selection := everything()
		selection.FoldInterpreters = fold
		g, err := e.FlameGraph(t.Context(), selection, nil, 100)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, n := range g.Nodes {
			f := g.Frames[n.Frame]
			line := f.Name
			if f.Kind != KindLabel {
				line += " " + f.Kind
			}
			line += " 10"
			if n.Self > 0 {
				line += " self"
			}
			if n.Total != 10 {
				t.Errorf("%s has %d", f.Name, n.Total)
			}
			got = append(got, line)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("fold %v (-want +got):\n%s", fold, diff)
		}
		top, err := e.Top(t.Context(), selection, TopBySelf, 1)
		if err != nil {
			t.Fatal(err)
		}
		wantTop := map[bool]string{false: "eval", true: "leaf"}[fold]
		if top.Rows[0].Name != wantTop || top.Rows[0].Self != 10 {
			t.Errorf("fold %v: top row %+v, want %s", fold, top.Rows[0], wantTop)
		}
	}
}
