// SPDX-License-Identifier: Apache-2.0

package gopclntab

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	// windowSize is what one read of the file brings in. Walks over all
	// functions read three places in ascending order, so a few windows of this
	// size make one system call serve hundreds of functions.
	windowSize  = 16 << 10
	windowCount = 8
)

// window is a piece of a file in memory.
type window struct {
	start uint64
	data  []byte
	used  uint64
}

// blob is a range of a file that is read through a few cached windows. It is
// not safe for concurrent use.
type blob struct {
	r       io.ReaderAt
	base    int64 // offset of the blob in r
	size    uint64
	clock   uint64
	windows []window
}

// newBlob returns a blob of size bytes at offset base of r.
func newBlob(r io.ReaderAt, base int64, size uint64) *blob {
	return &blob{r: r, base: base, size: size}
}

// window returns the cached bytes from off on, at least one.
func (b *blob) window(off uint64) ([]byte, error) {
	if off >= b.size {
		return nil, fmt.Errorf("%w: offset %#x of %#x", ErrCorrupt, off, b.size)
	}
	b.clock++
	oldest := -1
	for i := range b.windows {
		w := &b.windows[i]
		if off >= w.start && off-w.start < uint64(len(w.data)) {
			w.used = b.clock
			return w.data[off-w.start:], nil
		}
		if oldest < 0 || w.used < b.windows[oldest].used {
			oldest = i
		}
	}
	if len(b.windows) < windowCount {
		b.windows = append(b.windows, window{data: make([]byte, 0, windowSize)})
		oldest = len(b.windows) - 1
	}
	w := &b.windows[oldest]
	start := off &^ (windowSize - 1)
	n, err := b.r.ReadAt(w.data[:min(windowSize, b.size-start)], b.base+int64(start)) //nolint:gosec // bounded by size
	if uint64(n) <= off-start {                                                       //nolint:gosec // n is not negative
		w.data = w.data[:0]
		return nil, fmt.Errorf("read Go function table at %#x: %w", off, noEOF(err))
	}
	w.start, w.data, w.used = start, w.data[:n], b.clock
	return w.data[off-start:], nil
}

// read fills p from off on.
func (b *blob) read(p []byte, off uint64) error {
	for len(p) > 0 {
		w, err := b.window(off)
		if err != nil {
			return err
		}
		n := copy(p, w)
		p = p[n:]
		off += uint64(n) //nolint:gosec // n is not negative
	}
	return nil
}

// cstring returns the zero-terminated string at off, cut at limit bytes.
func (b *blob) cstring(off uint64, limit int) (string, error) {
	var long []byte
	for {
		w, err := b.window(off)
		if err != nil {
			return "", err
		}
		rest := limit - len(long)
		n := bytes.IndexByte(w[:min(len(w), rest)], 0)
		switch {
		case n >= 0 && long == nil:
			return string(w[:n]), nil
		case n >= 0:
			return string(append(long, w[:n]...)), nil
		case len(w) >= rest:
			return string(append(long, w[:rest]...)), nil
		}
		long = append(long, w...)
		off += uint64(len(w))
	}
}

// noEOF turns the end of the file into an error that says that it came early.
func noEOF(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
