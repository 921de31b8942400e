// SPDX-License-Identifier: Apache-2.0

package ruby

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/strobe-profiler/strobe/tracer/interpreter"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// errObject reports an object that is not what it should be.
var errObject = errors.New("not the object that was expected")

// objects reads objects of Ruby. Small strings and arrays are kept in the object
// itself; shortLength is the way of it before Ruby 3.2.
type objects struct {
	process.Memory
	shortLength bool
}

// heapObject reports whether a value is a pointer to an object: others are
// numbers, symbols, true, false and nil.
func heapObject(v uint64) bool { return v&7 == 0 && v >= 4096 }

// words reads n words, at most 8.
func (o objects) words(addr uint64, n int) (w [8]uint64, err error) {
	var b [64]byte
	n = min(n, len(w))
	if addr&7 != 0 {
		return w, fmt.Errorf("%w: 0x%x is not aligned", errObject, addr)
	}
	if err = o.Read(b[:n*8], addr); err != nil {
		return w, err
	}
	for i := range n {
		w[i] = binary.LittleEndian.Uint64(b[i*8:])
	}
	return w, nil
}

// string reads a string.
func (o objects) string(v uint64) (string, error) {
	if !heapObject(v) {
		return "", errObject
	}
	w, err := o.words(v, 4) // flags, class, length, pointer
	if err != nil {
		return "", err
	}
	switch {
	case w[0]&typeMask != typeString:
		return "", errObject
	case w[0]&flagNoEmbed != 0:
		return o.Text(w[3], w[2])
	case o.shortLength:
		return o.Text(v+16, w[0]>>(flagShift+2)&0x1f)
	}
	return o.Text(v+24, w[2])
}

// array returns where the elements of an array are, and how many.
func (o objects) array(v uint64) (at, n uint64, err error) {
	if !heapObject(v) {
		return 0, 0, errObject
	}
	w, err := o.words(v, 5) // flags, class, length, capacity, pointer
	switch {
	case err != nil:
		return 0, 0, err
	case w[0]&typeMask != typeArray:
		return 0, 0, errObject
	case w[0]&flagEmbedded == 0:
		return w[4], w[2], nil
	case o.shortLength:
		return v + 16, w[0] >> (flagShift + 3) & 3, nil
	}
	return v + 16, w[0] >> (flagShift + 3) & 0x7f, nil
}

// element reads an element of an array.
func (o objects) element(v, i uint64) (uint64, error) {
	at, n, err := o.array(v)
	if err != nil {
		return 0, err
	}
	if i >= n {
		return 0, errObject
	}
	return o.Uint64(at + i*8)
}

// imemo returns the type of an internal object.
func (o objects) imemo(v uint64) (uint64, error) {
	if !heapObject(v) {
		return 0, errObject
	}
	flags, err := o.Uint64(v)
	if err != nil {
		return 0, err
	}
	if flags&typeMask != typeIMemo {
		return 0, errObject
	}
	return flags >> flagShift & imemoMask, nil
}

// stale turns a failure to find what a frame told of into what it means: it is gone.
func stale(err error) error {
	if errors.Is(err, errObject) {
		return interpreter.ErrStale
	}
	return err
}
