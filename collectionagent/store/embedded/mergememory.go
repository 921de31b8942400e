// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"unsafe"

	"github.com/parquet-go/parquet-go"
)

// measureRows is how many rows a rewrite goes on between looks at its memory.
const measureRows = 1 << 16

// measure notes about how much memory the rewrite takes, now and then.
func (w *rewriter) measure(m *merger) {
	if w.unmeasured++; w.unmeasured < measureRows && w.unmeasured != 1 {
		return
	}
	w.unmeasured = 1
	n := int64(0)
	for _, c := range m.cursors {
		n += c.memory()
	}
	for _, out := range w.open {
		n += out.memory()
	}
	w.store.mergeBytes.Store(n)
}

// memory is about what reading a block takes.
func (c *blockCursor) memory() int64 {
	n := int64(openFileBytes+openRowGroupBytes*len(c.parquet.RowGroups())) + c.table.size
	n += int64(cap(c.rows)) * int64(unsafe.Sizeof(row{}))
	for _, d := range []*hashDict{&c.stackDict, &c.traceDict, &c.spanDict} {
		n += 2 * int64(cap(d.values)) * int64(unsafe.Sizeof(d.values[0])) // once in the page
	}
	for _, r := range []*columnReader{c.stacks, c.times, c.traces, c.spans, c.counts.column, c.values.column} {
		if r != nil {
			n += 2*pageBytes + 8*int64(cap(r.buf))
		}
	}
	return n
}

// memory is about what writing a block takes.
func (o *output) memory() int64 {
	n := int64(0)
	if o.samples != nil {
		n += o.samples.memory()
	}
	if o.sums != nil {
		for _, f := range o.sums.files() {
			n += f.file.memory()
		}
		n += int64(cap(o.sums.byTime.rows)+cap(o.sums.byStack.rows)) * int64(unsafe.Sizeof(sumsCell{}))
	}
	return n
}

// packedRowBytes is about what a row of an open row group takes: its pages stay in
// memory until the group ends.
const packedRowBytes = 4

// memory is about what writing a file takes.
func (w *rowFile[R]) memory() int64 {
	n := int64(w.buffered.Size()) + int64(cap(w.table.b)) + packedRowBytes*int64(w.inGroup)
	return n + int64(len(w.buf))*(pageBytes+bufferedRows*int64(unsafe.Sizeof(parquet.Value{})))
}
