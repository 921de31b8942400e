// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"fmt"

	"github.com/parquet-go/parquet-go"

	"github.com/strobe-profiler/strobe/libpf"
)

// groupScan reads one row group of a block.
type groupScan struct {
	*partScan
	a              *aggregator
	filter         *spanFilter   // nil: every row
	stacks, times  *columnReader // nil when not needed
	counts, values valueReader
	// remap gives the aggregator's number of an entry of the dictionary of stacks.
	remap []uint32
	dict  parquet.Dictionary
	zeros []uint32
}

func (g *groupScan) close() {
	g.filter.close()
	g.stacks.close()
	g.times.close()
	g.counts.column.close()
	g.values.column.close()
}

// valueReader reads a column of numbers that is often the same number in every
// row, which the bounds of its pages tell without reading it.
type valueReader struct {
	column   *columnReader // nil: constant, or a multiple of another
	constant int64
	// of is the column that this one is a multiple of, and has been read before.
	of    *valueReader
	ratio int64
	last  []int64 // what was read last
	buf   []int64
}

// multipleOf returns the values of a column that is a multiple of another.
func multipleOf(of *valueReader, ratio int64) valueReader {
	if of.column == nil {
		return valueReader{constant: of.constant * ratio}
	}
	return valueReader{of: of, ratio: ratio}
}

// newValueReader opens a column of numbers.
func newValueReader(chunk parquet.ColumnChunk) (valueReader, error) {
	if v, ok := constantOf(chunk); ok {
		return valueReader{constant: v}, nil
	}
	c, err := newColumnReader(chunk)
	return valueReader{column: c}, err
}

// constantOf returns the value of a column that has only one.
func constantOf(chunk parquet.ColumnChunk) (int64, bool) {
	fc, ok := chunk.(*parquet.FileColumnChunk)
	if !ok {
		return 0, false
	}
	lowest, highest, ok := fc.Bounds()
	if !ok || fc.NullCount() > 0 || lowest.Int64() != highest.Int64() {
		return 0, false
	}
	return lowest.Int64(), true
}

// span shortens n to what the loaded page holds from row on.
func (v *valueReader) span(row, n int64) (int64, error) {
	if v.column == nil {
		return n, nil
	}
	have, err := v.column.load(row)
	return min(n, have), err
}

// read returns the values of n rows.
func (v *valueReader) read(row, n int64) (_ []int64, err error) {
	if v.column != nil {
		v.last, err = v.column.int64s(row, n)
		return v.last, err
	}
	if v.of != nil {
		if int64(cap(v.buf)) < n {
			v.buf = make([]int64, n)
		}
		out := v.buf[:n]
		for i, x := range v.of.last[:n] {
			out[i] = x * v.ratio
		}
		return out, nil
	}
	for int64(len(v.buf)) < n {
		v.buf = append(v.buf, v.constant)
	}
	return v.buf[:n], nil
}

// maxStep bounds how many rows are added between looks at the context.
const maxStep = 1 << 16

// run adds the rows of a run, in steps that lie in one page of each column.
func (g *groupScan) run(ctx context.Context, r *rowRun) error {
	for row := r.first; row < r.end; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(r.end-row, maxStep)
		for _, c := range [...]*columnReader{g.stacks, g.times} {
			if c == nil {
				continue
			}
			have, err := c.load(row)
			if err != nil {
				return err
			}
			n = min(n, have)
		}
		n, err := g.counts.span(row, n)
		if err != nil {
			return err
		}
		if n, err = g.values.span(row, n); err != nil {
			return err
		}
		if n, err = g.filter.span(row, n); err != nil {
			return err
		}
		if err := g.add(r, row, n); err != nil {
			return err
		}
		if g.a.err != nil {
			return g.a.err
		}
		row += n
	}
	return nil
}

// add adds n rows that lie in the loaded pages.
func (g *groupScan) add(r *rowRun, row, n int64) error {
	stacks, err := g.stackNumbers(row, n)
	if err != nil {
		return err
	}
	counts, err := g.counts.read(row, n)
	if err != nil {
		return err
	}
	values, err := g.values.read(row, n)
	if err != nil {
		return err
	}
	if g.filter != nil {
		return g.addMarked(r, row, stacks, counts, values)
	}
	if r.whole && g.q.Step == 0 {
		if d := g.a.dense(r.group); d != nil {
			sums := d.dense
			for i, stack := range stacks {
				sums[stack].count += counts[i]
				sums[stack].value += values[i]
			}
			return nil
		}
		for i, stack := range stacks {
			g.a.add(r.group, 0, stack, counts[i], values[i])
		}
		return nil
	}
	times, err := g.times.int64s(row, n)
	if err != nil {
		return err
	}
	if sums := g.a.bucketSums(r.group); sums != nil {
		return g.addTimes(r, sums, times, counts, values)
	}
	if g.q.Step == 0 {
		if d := g.a.dense(r.group); d != nil {
			return g.addDense(r, d.dense, times, stacks, counts, values)
		}
	}
	for i, t := range times {
		if t >= r.from && t < g.to {
			if t < g.lowest || t > g.highest {
				return errTime(t)
			}
			g.a.add(r.group, t, stacks[i], counts[i], values[i])
		}
	}
	return nil
}

func errTime(t int64) error {
	return fmt.Errorf("read block: %w: time %d is not within those of the list of blocks", errCodec, t)
}

// addDense is add for an answer without buckets that is an array by stack.
func (g *groupScan) addDense(r *rowRun, sums []sum, times []int64, stacks []uint32, counts, values []int64) error {
	stacks, counts, values = stacks[:len(times)], counts[:len(times)], values[:len(times)]
	for i, t := range times {
		if t < r.from || t >= g.to {
			continue
		}
		if t < g.lowest || t > g.highest {
			return errTime(t)
		}
		s := &sums[stacks[i]]
		s.count += counts[i]
		s.value += values[i]
	}
	return nil
}

// addTimes is add for an answer that is an array of buckets of whole milliseconds.
func (g *groupScan) addTimes(r *rowRun, sums []sum, times, counts, values []int64) error {
	first, width := g.a.buckets.firstMs, g.a.buckets.stepMs
	perBucket := 1 / float64(width) // a product takes a fraction of the time of a quotient
	counts, values = counts[:len(times)], values[:len(times)]
	for i, t := range times {
		if t < r.from || t >= g.to {
			continue
		}
		if t < g.lowest || t > g.highest {
			return errTime(t)
		}
		// It is off by one at most, the array has fewer entries than a float has bits.
		at := int64(float64(t-first) * perBucket)
		if over := t - first - at*width; over >= width {
			at++
		} else if over < 0 {
			at--
		}
		s := &sums[at]
		s.count += counts[i]
		s.value += values[i]
	}
	return nil
}

// addMarked is add for a query that asks for some spans only.
func (g *groupScan) addMarked(r *rowRun, row int64, stacks []uint32, counts, values []int64) error {
	n := int64(len(stacks))
	marks, err := g.filter.rows(row, n)
	if err != nil {
		return err
	}
	var times []int64 // nil: no matter
	if !r.whole || g.q.Step > 0 {
		if times, err = g.times.int64s(row, n); err != nil {
			return err
		}
	}
	for i, marked := range marks {
		if !marked {
			continue
		}
		var t int64
		if times != nil {
			if t = times[i]; t < r.from || t >= g.to {
				continue
			}
			if t < g.lowest || t > g.highest {
				return errTime(t)
			}
		}
		g.a.add(r.group, t, stacks[i], counts[i], values[i])
	}
	return nil
}

// stackNumbers returns the aggregator's numbers of the stacks of n rows.
func (g *groupScan) stackNumbers(row, n int64) ([]uint32, error) {
	if int64(cap(g.zeros)) < n {
		g.zeros = make([]uint32, n)
	}
	out := g.zeros[:n]
	if g.stacks == nil {
		return out, nil // never written to in this case
	}
	indexes, err := g.stacks.indexes(row, n)
	if err != nil {
		return nil, err
	}
	if g.dict != g.stacks.dict {
		g.dict = g.stacks.dict
		g.remap = make([]uint32, g.dict.Len())
		for i := range g.remap {
			g.remap[i] = none
		}
	}
	for i, d := range indexes {
		if d < 0 || int(d) >= len(g.remap) {
			return nil, fmt.Errorf("read block: %w: index %d outside of dictionary", errCodec, d)
		}
		number := g.remap[d]
		if number == none {
			hash, err := libpf.TraceHashFromBytes(g.dict.Index(d).ByteArray())
			if err != nil {
				return nil, fmt.Errorf("read block: %w", err)
			}
			number = g.a.stack(hash)
			g.remap[d] = number
		}
		out[i] = number
	}
	return out, nil
}
