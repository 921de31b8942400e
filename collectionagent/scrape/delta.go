// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
	"github.com/zeebo/xxh3"
)

// counted is what an endpoint said of values that count since the start of the target:
// 8 bytes for each stack and value.
type counted struct {
	types  string   // names of the values
	keys   []uint64 // of stacks with labels, ascending
	values []int64  // as many for each key as there are types
}

// bytes is the memory that it takes.
func (c *counted) bytes() int64 {
	if c == nil {
		return 0
	}
	return 8 * int64(cap(c.keys)+cap(c.values))
}

// outcome says what became of values that count since the start of the target.
type outcome int

const (
	differs outcome = iota // from those of before: the profile has the differences
	begins                 // there was nothing before: the profile has none of them
	resets                 // the target started again: the profile has none of them
)

// subtract replaces values that count since the start of the target by what they have
// become more since before. Samples without any value are left out. It returns what to
// compare with the next time.
func subtract(p *profile.Profile, before *counted) (*counted, outcome) {
	columns := counting(p)
	if len(columns) == 0 {
		return nil, differs
	}
	now, order := count(p, columns)
	result := begins
	if before != nil {
		// Other types are another program.
		result = resets
		if before.types == now.types {
			result = now.minus(before, p, columns, order)
		}
	}
	if result != differs {
		for _, s := range p.Sample {
			for _, c := range columns {
				s.Value[c] = 0
			}
		}
	}
	p.Sample = slices.DeleteFunc(p.Sample, func(s *profile.Sample) bool {
		return !slices.ContainsFunc(s.Value, func(v int64) bool { return v != 0 })
	})
	return now, result
}

// counting returns which values of samples count since the start of the target; others
// are snapshots.
func counting(p *profile.Profile) (columns []int) {
	for i, t := range p.SampleType {
		if !isSnapshot(t.Type) {
			columns = append(columns, i)
		}
	}
	return columns
}

// place is a sample and its key.
type place struct {
	key    uint64
	sample int
}

// count sums the values of samples by key, and returns the samples in the order of
// their keys.
func count(p *profile.Profile, columns []int) (*counted, []place) {
	var names []string
	for _, c := range columns {
		names = append(names, typeName(p.SampleType[c]))
	}
	order := make([]place, len(p.Sample))
	h := hasher{locations: map[*profile.Location]uint64{}}
	for i, s := range p.Sample {
		order[i] = place{h.sample(s), i}
	}
	slices.SortFunc(order, func(a, b place) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.sample, b.sample)) })
	c := &counted{types: strings.Join(names, "\n")}
	for i, at := range order {
		if i == 0 || order[i-1].key != at.key {
			c.keys = append(c.keys, at.key)
			c.values = append(c.values, make([]int64, len(columns))...)
		}
		sums := c.values[len(c.values)-len(columns):]
		for j, column := range columns {
			sums[j] += p.Sample[at.sample].Value[column]
		}
	}
	c.keys, c.values = slices.Clip(c.keys), slices.Clip(c.values)
	return c, order
}

// minus gives the first sample of each key the difference to before, and the others
// nothing. Without a key that counted something, or with a value that has become less,
// it changes nothing: the target started again.
func (c *counted) minus(before *counted, p *profile.Profile, columns []int, order []place) outcome {
	width := len(columns)
	differences := slices.Clone(c.values)
	i := 0
	for j, key := range before.keys {
		old := before.values[j*width : (j+1)*width]
		for i < len(c.keys) && c.keys[i] < key {
			i++
		}
		if i == len(c.keys) || c.keys[i] != key {
			if slices.ContainsFunc(old, func(v int64) bool { return v != 0 }) {
				return resets
			}
			continue
		}
		for k, v := range old {
			d := &differences[i*width+k]
			if *d < v {
				return resets
			}
			*d -= v
		}
	}
	at := -1
	for i, o := range order {
		s := p.Sample[o.sample]
		first := i == 0 || order[i-1].key != o.key
		if first {
			at++
		}
		for k, column := range columns {
			s.Value[column] = 0
			if first {
				s.Value[column] = differences[at*width+k]
			}
		}
	}
	return differs
}

// hasher names samples by what they are: locations, functions and labels. IDs are
// different in each profile.
type hasher struct {
	locations map[*profile.Location]uint64
	buffer    []byte
}

func (h *hasher) number(n uint64) { h.buffer = binary.LittleEndian.AppendUint64(h.buffer, n) }

func (h *hasher) text(s string) {
	h.number(uint64(len(s)))
	h.buffer = append(h.buffer, s...)
}

func (h *hasher) sample(s *profile.Sample) uint64 {
	for _, l := range s.Location { // before the buffer is used
		h.location(l)
	}
	h.buffer = h.buffer[:0]
	h.number(uint64(len(s.Location))) // how many there are tells apart what follows
	for _, l := range s.Location {
		h.number(h.locations[l])
	}
	h.number(uint64(len(s.Label)))
	for _, key := range slices.Sorted(maps.Keys(s.Label)) {
		h.text(key)
		h.number(uint64(len(s.Label[key])))
		for _, v := range s.Label[key] {
			h.text(v)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(s.NumLabel)) {
		h.text(key)
		h.number(uint64(len(s.NumLabel[key])))
		for _, v := range s.NumLabel[key] {
			h.number(uint64(v)) //nolint:gosec // its bits
		}
	}
	return xxh3.Hash(h.buffer)
}

func (h *hasher) location(l *profile.Location) {
	if _, ok := h.locations[l]; ok {
		return
	}
	h.buffer = h.buffer[:0]
	h.number(l.Address)
	if l.Mapping != nil {
		h.text(l.Mapping.File)
		h.text(l.Mapping.BuildID)
	}
	for _, line := range l.Line {
		h.number(uint64(line.Line)) //nolint:gosec // its bits
		if line.Function != nil {
			h.text(line.Function.Name)
			h.text(line.Function.Filename)
		}
	}
	h.locations[l] = xxh3.Hash(h.buffer)
}
