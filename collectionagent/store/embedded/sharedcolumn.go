// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"bytes"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"
)

// Most columns of a block are the same in all rows of a series. The library looks each
// value up in the dictionary of its column all the same, which is half of the work of
// writing a block. The types below stand in for its own in columns of texts: they
// compare a value with the one before, and look it up only when it is another one. What
// is written is the same.

// sharedSchema returns the schema with columns of texts that are written so. It is for
// [parquet.ColumnWriter.WriteRowValues] alone, since other ways to write go past
// the methods of these types. While alike is true, all values of a column that are
// written at once are the same.
func sharedSchema(s *parquet.Schema, alike *bool) *parquet.Schema {
	root := sharedNode{Node: s}
	for _, f := range s.Fields() {
		if f.Leaf() && f.Type().Kind() == parquet.ByteArray && f.Encoding() != nil && f.Encoding().Encoding() == parquet.RLEDictionary.Encoding() {
			f = sharedField{f, alike}
		}
		root.fields = append(root.fields, f)
	}
	return parquet.NewSchema(s.Name(), root)
}

// sharedNode is a node with other fields.
type sharedNode struct {
	parquet.Node
	fields []parquet.Field
}

// Fields implements [parquet.Node].
func (n sharedNode) Fields() []parquet.Field { return n.fields }

// sharedField is a field with a sharedType.
type sharedField struct {
	parquet.Field
	alike *bool
}

// Type implements [parquet.Node].
func (f sharedField) Type() parquet.Type { return sharedType{f.Field.Type(), f.alike} }

// sharedType makes the dictionary of a column.
type sharedType struct {
	parquet.Type
	alike *bool
}

// NewDictionary implements [parquet.Type].
func (t sharedType) NewDictionary(column, n int, data encoding.Values) parquet.Dictionary {
	return &sharedDictionary{Dictionary: t.Type.NewDictionary(column, n, data), alike: t.alike}
}

// sharedDictionary knows the value that was looked up last.
type sharedDictionary struct {
	parquet.Dictionary
	alike *bool
	last  []byte // nil: none
	index [1]int32
}

// Type implements [parquet.Dictionary].
func (d *sharedDictionary) Type() parquet.Type { return sharedIndexes{d.Dictionary.Type(), d} }

// Reset implements [parquet.Dictionary].
func (d *sharedDictionary) Reset() {
	d.last = nil
	d.Dictionary.Reset()
}

// Insert implements [parquet.Dictionary].
func (d *sharedDictionary) Insert(indexes []int32, values []parquet.Value) {
	for i := range values {
		if i == 0 || !*d.alike {
			d.find(values[i : i+1])
		}
		indexes[i] = d.index[0]
	}
}

// find sets index to that of a value.
func (d *sharedDictionary) find(value []parquet.Value) {
	b := value[0].ByteArray()
	if d.last != nil && bytes.Equal(b, d.last) {
		return
	}
	d.Dictionary.Insert(d.index[:], value)
	if d.last = append(d.last[:0], b...); d.last == nil {
		d.last = []byte{}
	}
}

// sharedIndexes is the type of a column of indexes into a dictionary.
type sharedIndexes struct {
	parquet.Type
	dict *sharedDictionary
}

// NewColumnBuffer implements [parquet.Type].
func (t sharedIndexes) NewColumnBuffer(column, n int) parquet.ColumnBuffer {
	return &sharedBuffer{ColumnBuffer: t.Type.NewColumnBuffer(column, 0), indexes: t, column: column, values: make([]int32, 0, n)}
}

// sharedBuffer holds the indexes of a page.
type sharedBuffer struct {
	parquet.ColumnBuffer // an empty one
	indexes              sharedIndexes
	column               int
	values               []int32
}

// WriteValues implements [parquet.ValueWriter].
func (b *sharedBuffer) WriteValues(values []parquet.Value) (int, error) {
	n := len(b.values)
	b.values = slices.Grow(b.values, len(values))[:n+len(values)]
	b.indexes.dict.Insert(b.values[n:], values)
	return len(values), nil
}

// Page implements [parquet.ColumnBuffer].
func (b *sharedBuffer) Page() parquet.Page {
	return b.indexes.Type.NewPage(b.column, len(b.values), encoding.Int32Values(b.values))
}

// Dictionary implements [parquet.ColumnBuffer].
func (b *sharedBuffer) Dictionary() parquet.Dictionary { return b.indexes.dict }

// Reset implements [parquet.ColumnBuffer].
func (b *sharedBuffer) Reset() { b.values = b.values[:0] }

// Cap implements [parquet.ColumnBuffer].
func (b *sharedBuffer) Cap() int { return cap(b.values) }

// Len implements [parquet.ColumnBuffer].
func (b *sharedBuffer) Len() int { return len(b.values) }

// Size implements [parquet.ColumnBuffer].
func (b *sharedBuffer) Size() int64 { return 4 * int64(len(b.values)) }
