// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"bytes"
	"errors"
	"io"
)

// Reasons why a part of a segment is not read.
const (
	reasonTorn    = "torn"    // the end of a segment was not written in full
	reasonHeader  = "header"  // bytes between intact records
	reasonPayload = "payload" // a payload that does not match its header
	reasonFormat  = "format"  // a segment of another version, which went for its room
	reasonMissing = "missing" // a segment, or records of it, that were there before
)

// resyncChunk is how much is searched at a time for the next intact header.
const resyncChunk = 64 << 10

// walker steps from header to header through a segment.
type walker struct {
	file    io.ReaderAt
	stream  Stream
	size    int64 // of the segment
	at      int64 // where the next header is
	last    uint64
	skipped func(reason string, n int64)

	buf   [headerBytes]byte
	chunk []byte
}

// next returns the next intact header and where its payload begins, or io.EOF. A
// record whose payload the segment does not hold in full is not intact.
func (w *walker) next() (header, int64, error) {
	for {
		if w.size-w.at < headerBytes {
			if n := w.size - w.at; n > 0 {
				w.at = w.size
				w.skipped(reasonTorn, n)
			}
			return header{}, 0, io.EOF
		}
		h, ok, err := w.header(w.at)
		if err != nil {
			return header{}, 0, err
		}
		if ok {
			payload := w.at + headerBytes
			w.at, w.last = payload+int64(h.stored), h.Order
			return h, payload, nil
		}
		to, err := w.resync(w.at + 1)
		if err != nil {
			return header{}, 0, err
		}
		reason := reasonHeader
		if to == w.size {
			reason = reasonTorn
		}
		n := to - w.at
		w.at = to
		w.skipped(reason, n)
	}
}

// header reads the header at an offset that leaves room for one.
func (w *walker) header(at int64) (h header, ok bool, err error) {
	if n, err := w.file.ReadAt(w.buf[:], at); n < headerBytes {
		if errors.Is(err, io.EOF) { // shorter than it was
			return header{}, false, nil
		}
		return header{}, false, err
	}
	h, ok = decodeHeader(w.buf[:], w.stream)
	return h, ok && h.Order > w.last && at+h.bytes() <= w.size, nil
}

// resync returns where the next intact header is, or the size of the segment.
func (w *walker) resync(from int64) (int64, error) {
	if w.chunk == nil {
		w.chunk = make([]byte, resyncChunk)
	}
	for from+headerBytes <= w.size {
		n, err := w.file.ReadAt(w.chunk[:min(resyncChunk, w.size-from)], from)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		window := w.chunk[:n]
		for skip := 0; ; {
			i := bytes.Index(window[skip:], magic[:])
			if i < 0 {
				break
			}
			at := from + int64(skip+i)
			if at+headerBytes > w.size {
				return w.size, nil
			}
			if _, ok, err := w.header(at); err != nil || ok {
				return at, err
			}
			skip += i + 1
		}
		if n < magicBytes {
			return w.size, nil
		}
		from += int64(n - magicBytes + 1) // a magic may lie across chunks
	}
	return w.size, nil
}
