// SPDX-License-Identifier: Apache-2.0

package native

import (
	"fmt"
	"io"
)

const (
	// viewSize is what one read brings in. The unwind information of a page
	// of text is typically a third of this, and in the order of the text.
	viewSize = 64 << 10
	// maxEntry bounds an entry of unwind information. The largest known, of
	// generated code with thousands of calls that push arguments, has 200 KiB.
	maxEntry = 4 << 20
)

// view reads a part of a file through a window. It is not safe for concurrent use.
type view struct {
	r     io.ReaderAt
	base  uint64 // offset of the part in r
	size  uint64
	start uint64 // of the window, in the part
	buf   []byte
}

// reset points the view to another part, keeping its memory.
func (v *view) reset(r io.ReaderAt, base, size uint64) {
	if v.r != r || v.base != base || v.size != size {
		*v = view{r: r, base: base, size: size, buf: v.buf[:0]}
	}
}

// forget drops the file but keeps the memory.
func (v *view) forget() { *v = view{buf: v.buf[:0]} }

// bytes returns n bytes at off. They are valid until the next call.
func (v *view) bytes(off, n uint64) ([]byte, error) {
	if off >= v.start && off-v.start <= uint64(len(v.buf)) && n <= uint64(len(v.buf))-(off-v.start) {
		return v.buf[off-v.start:][:n], nil
	}
	if off > v.size || n > v.size-off || n > maxEntry {
		return nil, fmt.Errorf("%w: %d bytes at %#x of %#x", errFormat, n, off, v.size)
	}
	want := min(max(n, viewSize), v.size-off)
	if uint64(cap(v.buf)) < want {
		v.buf = make([]byte, want)
	}
	got, err := v.r.ReadAt(v.buf[:want], int64(v.base+off)) //nolint:gosec // inside the file
	v.start, v.buf = off, v.buf[:got]
	if uint64(got) < n { //nolint:gosec // not negative
		return nil, fmt.Errorf("read unwind information at %#x: %w", v.base+off, noEOF(err))
	}
	return v.buf[:n], nil
}

// upTo returns at most n bytes at off, fewer at the end of the part.
func (v *view) upTo(off, n uint64) ([]byte, error) {
	if off > v.size {
		return nil, fmt.Errorf("%w: offset %#x of %#x", errFormat, off, v.size)
	}
	return v.bytes(off, min(n, v.size-off))
}

// noEOF turns the end of the file into an error that says that it came early.
func noEOF(err error) error {
	if err == nil || err == io.EOF { //nolint:errorlint // readers return it bare
		return io.ErrUnexpectedEOF
	}
	return err
}
