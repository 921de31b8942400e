// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// wholeMemory remembers stacks by their content too.
type wholeMemory struct {
	memory
	wholes map[[2]uint64]libpf.TraceHash
}

func (m *wholeMemory) Whole(hi, lo uint64) (libpf.TraceHash, bool) {
	h, ok := m.wholes[[2]uint64{hi, lo}]
	return h, ok
}

func (m *wholeMemory) learn(in *Request, d *store.Definitions) {
	for k := range learned(d) {
		m.memory[k] = true
	}
	in.Wholes(func(hi, lo uint64, hash libpf.TraceHash) { m.wholes[[2]uint64{hi, lo}] = hash })
}

// TestWhole decodes requests of which some stacks are known as a whole: samples are
// the same as if nothing was known, and what is new is defined.
func TestWhole(t *testing.T) {
	t.Parallel()
	known := &wholeMemory{memory{}, map[[2]uint64]libpf.TraceHash{}}
	step := func(r *collector.ExportProfilesServiceRequest) (stacks, symbols int) {
		t.Helper()
		data, err := proto.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		want, err := decode(t, r, testOptions(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		m, err := Read(data, testOptions(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		defer m.Release()
		in, err := m.Decode(known)
		if err != nil {
			t.Fatal(err)
		}
		opts := cmp.Options{cmp.AllowUnexported(libpf.Hash128{})}
		if d := cmp.Diff(want.Batch, in.Batch, opts); d != "" {
			t.Errorf("batch (-nothing known +known):\n%s", d)
		}
		if d := cmp.Diff(definitions(t, want, nil), definitions(t, in, nil), opts); d != "" {
			t.Errorf("all definitions (-nothing known +known):\n%s", d)
		}
		d := definitions(t, in, known)
		known.learn(in, d)
		return len(d.Stacks), len(d.Symbols)
	}
	b := testRequest()
	for _, want := range [][2]int{{2, 1}, {0, 0}, {0, 0}} {
		if stacks, symbols := step(b.r); stacks != want[0] || symbols != want[1] {
			t.Errorf("%d stacks and %d symbols are defined, want %v", stacks, symbols, want)
		}
	}
	if len(known.wholes) != 2 {
		t.Errorf("%d stacks are known as a whole", len(known.wholes))
	}
	// Another name for the same address: the stack is the same, the symbol is not.
	b.r.Dictionary.FunctionTable[1].NameStrindex = b.text("renamed")
	if stacks, symbols := step(b.r); stacks != 0 || symbols != 1 {
		t.Errorf("after a change of a name %d stacks and %d symbols are defined", stacks, symbols)
	}
	// Another line: what a stack with it in its frames is called is another stack.
	b.r.Dictionary.LocationTable[4].Lines[0].Line++
	if stacks, symbols := step(b.r); stacks != 1 || symbols != 0 {
		t.Errorf("after a change of a line %d stacks and %d symbols are defined", stacks, symbols)
	}
	// Two names for one address in a request: that of the second becomes part of its stacks.
	first := b.r.Dictionary.LocationTable[1]
	again := proto.CloneOf(first)
	again.Lines[0].Line++
	b.r.Dictionary.StackTable[1].LocationIndices[0] = b.location(again)
	if stacks, symbols := step(b.r); stacks != 1 || symbols != 0 {
		t.Errorf("after a second name %d stacks and %d symbols are defined", stacks, symbols)
	}
	if stacks, symbols := step(b.r); stacks != 0 || symbols != 0 {
		t.Errorf("the same again: %d stacks and %d symbols are defined", stacks, symbols)
	}
}
