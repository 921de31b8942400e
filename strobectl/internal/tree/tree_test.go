// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"encoding/json"
	"testing"

	"github.com/strobe-profiler/strobe/strobectl/internal/client"
)

func stack(names ...string) []Frame {
	out := make([]Frame, len(names))
	for i, name := range names {
		out[i] = Frame{Name: name, Kind: "native"}
	}
	return out
}

// TestTop counts a sample once, however often a function is on its stack.
func TestTop(t *testing.T) {
	t.Parallel()
	of := New("on_cpu", "nanoseconds")
	of.Add(stack("main", "walk", "walk", "leaf"), 3)
	of.Add(stack("main", "walk"), 2)
	got := map[string][2]int64{}
	for _, r := range of.Top(true) {
		got[r.Name] = [2]int64{r.Self, r.Total}
	}
	for name, want := range map[string][2]int64{"main": {0, 5}, "walk": {2, 5}, "leaf": {3, 3}} {
		if got[name] != want {
			t.Errorf("%s: %v instead of %v", name, got[name], want)
		}
	}
	if of.Depth() != 4 {
		t.Errorf("depth %d", of.Depth())
	}
}

func TestZoomAndFocus(t *testing.T) {
	t.Parallel()
	of := New("on_cpu", "nanoseconds")
	of.Add(stack("main", "walk", "walk", "leaf"), 3)
	of.Add(stack("main", "other"), 2)
	if z := of.Zoom("walk"); z.Root.Total != 3 || len(z.Root.Children) != 1 || z.Root.Children[0].Name != "walk" || z.Depth() != 3 {
		t.Errorf("zoom: %+v", z.Root)
	}
	if z := of.Focus("OTHER"); z.Root.Total != 0 {
		t.Errorf("capital letters are meant: %+v", z.Root)
	}
	if z := of.Focus("oth"); z.Root.Total != 2 || z.Root.Children[0].Name != "main" {
		t.Errorf("focus: %+v", z.Root)
	}
}

// FuzzFromAnswer reads any answer. What it reads is a tree.
func FuzzFromAnswer(f *testing.F) {
	f.Add([]byte(`{"strings":["all","","label"],"frames":{"name":[0],"file":[1],"line":[0],"binary":[1],"kind":[2],"inlined":[0]},"nodes":{"frame":[0,0],"depth":[0,1],"self":[0,1],"total":[1,1]}}`))
	f.Add([]byte(`{"strings":["a"],"frames":{"name":[0],"file":[0],"line":[0],"binary":[0],"kind":[0],"inlined":[0]},"nodes":{"frame":[0,0],"depth":[0,2],"self":[0,1],"total":[1,1]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var a client.FlameGraph
		if json.Unmarshal(data, &a) != nil {
			return
		}
		of, err := FromAnswer(&a)
		if err != nil {
			return
		}
		n := 0
		of.Walk(func(*Node, int) bool { n++; return true })
		if n != len(a.Nodes.Frame) {
			t.Errorf("%d nodes of %d", n, len(a.Nodes.Frame))
		}
		of.Sort()
		of.Top(false)
		of.Zoom("a")
	})
}
