// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"
)

// heap makes a profile of lines "function alloc inuse", or "function alloc inuse bytes".
func heap(lines ...string) *profile.Profile {
	p := &profile.Profile{SampleType: []*profile.ValueType{{Type: "alloc_space", Unit: "bytes"}, {Type: "inuse_space", Unit: "bytes"}}}
	for _, line := range lines {
		var name string
		var alloc, inuse, size int64
		n, _ := fmt.Sscan(line, &name, &alloc, &inuse, &size)
		id := uint64(len(p.Location) + 1)
		f := &profile.Function{ID: id, Name: name}
		l := &profile.Location{ID: id, Address: uint64(len(name)), Line: []profile.Line{{Function: f}}}
		p.Function, p.Location = append(p.Function, f), append(p.Location, l)
		s := &profile.Sample{Location: []*profile.Location{l}, Value: []int64{alloc, inuse}}
		if n == 4 {
			s.NumLabel = map[string][]int64{"bytes": {size}}
		}
		p.Sample = append(p.Sample, s)
	}
	return p
}

// lines is the inverse of heap, sorted.
func lines(p *profile.Profile) []string {
	var all []string
	for _, s := range p.Sample {
		line := fmt.Sprintf("%s %d %d", s.Location[0].Line[0].Function.Name, s.Value[0], s.Value[1])
		if size := s.NumLabel["bytes"]; size != nil {
			line += fmt.Sprintf(" %d", size[0])
		}
		all = append(all, line)
	}
	slices.Sort(all)
	return all
}

func TestSubtract(t *testing.T) {
	t.Parallel()
	type scrape struct {
		in      []string
		outcome outcome
		want    []string
	}
	for name, scrapes := range map[string][]scrape{
		"the first tells snapshots": {{[]string{"a 10 5", "b 20 0"}, begins, []string{"a 0 5"}}},
		"differences": {
			{[]string{"a 10 5", "b 20 0"}, begins, []string{"a 0 5"}},
			{[]string{"b 25 1", "a 10 5"}, differs, []string{"a 0 5", "b 5 1"}},
			{[]string{"b 25 0", "c 1 0", "a 11 0"}, differs, []string{"a 1 0", "c 1 0"}},
		},
		"the same stack twice": {
			{[]string{"a 10 0", "a 5 0"}, begins, nil},
			{[]string{"a 4 1", "a 20 2"}, differs, []string{"a 0 2", "a 9 1"}},
		},
		"sizes are apart": {
			{[]string{"a 10 0 16", "a 5 0 32"}, begins, nil},
			{[]string{"a 12 0 16", "a 5 0 32"}, differs, []string{"a 2 0 16"}},
		},
		"a restart: less": {
			{[]string{"a 10 0", "b 5 0"}, begins, nil},
			{[]string{"a 3 3", "b 50 0"}, resets, []string{"a 0 3"}},
			{[]string{"a 4 3", "b 50 0"}, differs, []string{"a 1 3"}},
		},
		"a restart: gone": {
			{[]string{"a 10 0", "b 5 0"}, begins, nil},
			{[]string{"a 10 0"}, resets, nil},
		},
		"a restart: nothing left": {{[]string{"a 10 0"}, begins, nil}, {nil, resets, nil}, {[]string{"a 1 0"}, differs, []string{"a 1 0"}}},
		"nothing may go":          {{[]string{"a 0 7", "b 1 0"}, begins, []string{"a 0 7"}}, {[]string{"b 1 0"}, differs, nil}},
	} {
		var before *counted
		for i, s := range scrapes {
			p := heap(s.in...)
			now, result := subtract(p, before)
			if result != s.outcome {
				t.Errorf("%s: scrape %d: outcome %d, want %d", name, i, result, s.outcome)
			}
			if d := cmp.Diff(s.want, lines(p)); d != "" {
				t.Errorf("%s: scrape %d (-want +got):\n%s", name, i, d)
			}
			before = now
		}
	}
}

// TestSubtractOtherTypes is a target that became another program.
func TestSubtractOtherTypes(t *testing.T) {
	t.Parallel()
	before, _ := subtract(heap("a 10 0"), nil)
	p := heap("a 20 0")
	p.SampleType[0].Type = "alloc_objects"
	if _, result := subtract(p, before); result != resets {
		t.Errorf("outcome %d", result)
	}
	p.SampleType[0].Type = "inuse_objects"
	if now, result := subtract(p, before); now != nil || result != differs {
		t.Errorf("a profile of snapshots: %v, outcome %d", now, result)
	}
}

// TestLabelsAreApart has samples whose labels are the same texts in the same order.
func TestLabelsAreApart(t *testing.T) {
	t.Parallel()
	first := heap("a 10 0", "a 20 0", "a 30 0")
	for _, s := range first.Sample {
		s.Location = first.Sample[0].Location
	}
	first.Sample[0].Label = map[string][]string{"a": {"b", "c", "d"}}
	first.Sample[1].Label = map[string][]string{"a": {"b"}, "c": {"d"}}
	first.Sample[2].NumLabel = map[string][]int64{"a": {1, 'b', 1, 'c', 1, 'd'}}
	now, _ := subtract(first, nil)
	if len(now.keys) != 3 {
		t.Errorf("%d keys of 3 samples", len(now.keys))
	}
}

// TestKeptBytes bounds what is kept of a large profile.
func TestKeptBytes(t *testing.T) {
	t.Parallel()
	var all []string
	for i := range 10_000 {
		all = append(all, fmt.Sprintf("function%d %d 0", i, i+1))
	}
	now, _ := subtract(heap(all...), nil)
	if got := now.bytes(); got > 10_000*16+4<<10 {
		t.Errorf("%d bytes are kept of 10,000 stacks", got)
	}
}

func BenchmarkSubtract(b *testing.B) {
	var all []string
	for i := range 10_000 {
		all = append(all, fmt.Sprintf("function%d %d 0", i, i+1))
	}
	before, _ := subtract(heap(all...), nil)
	for b.Loop() {
		b.StopTimer()
		p := heap(all...)
		b.StartTimer()
		subtract(p, before)
	}
}

func FuzzSubtract(f *testing.F) {
	add := func(p *profile.Profile) {
		var b bytes.Buffer
		if err := p.WriteUncompressed(&b); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes(), b.Bytes())
	}
	add(heap("a 10 5", "b 20 0"))
	add(heap())
	f.Fuzz(func(t *testing.T, first, second []byte) {
		a, err := profile.ParseUncompressed(first)
		if err != nil || a.CheckValid() != nil {
			return
		}
		b, err := profile.ParseUncompressed(second)
		if err != nil || b.CheckValid() != nil {
			return
		}
		before, _ := subtract(a, nil)
		again, err := profile.ParseUncompressed(first)
		if err != nil {
			t.Fatal(err)
		}
		negative := slices.ContainsFunc(again.Sample, func(s *profile.Sample) bool {
			return slices.ContainsFunc(s.Value, func(v int64) bool { return v < 0 || v > 1<<40 })
		})
		if before != nil && !negative {
			_, result := subtract(again, before)
			if result != differs {
				t.Fatalf("the same profile again: outcome %d", result)
			}
			columns := counting(again)
			for _, s := range again.Sample {
				for _, c := range columns {
					if s.Value[c] != 0 {
						t.Fatalf("the same profile again differs: %v", s.Value)
					}
				}
			}
		}
		subtract(b, before) // must not panic
	})
}
