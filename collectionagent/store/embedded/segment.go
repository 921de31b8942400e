// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// segmentWindow is how much of a log segment is in memory at once, unless a record is
// larger.
const segmentWindow = 1 << 20

// segmentReader reads a log segment through a window. What at returned is valid until
// the next call of any method.
type segmentReader struct {
	file   *os.File
	number uint64
	size   int64
	buf    []byte // the bytes from off on
	off    int64
	keep   []byte // the memory of buf
}

// openSegment opens a segment; memory is used again.
func openSegment(dir string, n uint64, memory []byte) (*segmentReader, error) {
	f, err := os.Open(segmentPath(dir, n))
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &segmentReader{file: f, number: n, size: info.Size(), keep: memory}, nil
}

func (r *segmentReader) close() error { return r.file.Close() }

// at returns the bytes from pos on: at least n, or all there are.
func (r *segmentReader) at(pos, n int64) ([]byte, error) {
	n = min(n, r.size-pos)
	if have := r.off + int64(len(r.buf)); pos >= r.off && pos+n <= have {
		return r.buf[pos-r.off:], nil
	}
	length := min(max(n, segmentWindow), r.size-pos)
	if int64(cap(r.keep)) < length || (cap(r.keep) > 8*segmentWindow && length <= segmentWindow) {
		r.keep = make([]byte, length)
	}
	r.buf, r.off = nil, 0
	if _, err := r.file.ReadAt(r.keep[:length], pos); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	} else if err != nil {
		return nil, fmt.Errorf("%w: the segment became shorter", errCodec)
	}
	r.buf, r.off = r.keep[:length], pos
	return r.buf, nil
}

// start returns where the first record is: behind the magic, or where one is found when
// that is not intact. It is the end of a segment that a crash left without a whole magic.
func (r *segmentReader) start() (pos int64, intact bool, err error) {
	n := int64(len(walMagic))
	magic, err := r.at(0, n)
	if err != nil {
		return 0, false, err
	}
	magic = magic[:min(n, int64(len(magic)))]
	if string(magic) == walMagic[:len(magic)] {
		return min(n, r.size), true, nil
	}
	if err := checkFormat(magic); err != nil {
		return 0, false, err
	}
	pos, err = r.next(0)
	return pos, false, err
}

// record returns the payload of the record at pos. ok is false when there is no whole
// and intact one.
func (r *segmentReader) record(pos int64) (payload []byte, size int64, ok bool, err error) {
	b, err := r.at(pos, recordHeader)
	if err != nil || len(b) < recordHeader || string(b[:4]) != recordMark {
		return nil, 0, false, err
	}
	n := int64(binary.LittleEndian.Uint32(b[8:12]))
	if n > maxRecord || n > r.size-pos-recordHeader {
		return nil, 0, false, nil
	}
	if b, err = r.at(pos, recordHeader+n); err != nil {
		return nil, 0, false, err
	}
	payload, whole, ok := parseRecord(r.number, b)
	return payload, int64(whole), ok, nil
}

// next returns where the first intact record at or after pos starts, or the size of
// the segment.
func (r *segmentReader) next(pos int64) (int64, error) {
	for pos < r.size {
		b, err := r.at(pos, int64(len(recordMark)))
		if err != nil {
			return 0, err
		}
		i := bytes.Index(b, []byte(recordMark))
		if i < 0 { // a mark may start in the last bytes of the window
			pos += int64(max(len(b)-len(recordMark)+1, 1))
			continue
		}
		pos += int64(i)
		if _, _, ok, err := r.record(pos); ok || err != nil {
			return pos, err
		}
		pos++
	}
	return r.size, nil
}

// copyTo copies a range of bytes to a new file.
func (r *segmentReader) copyTo(path string, from, to int64) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640) //nolint:gosec // the group may read the store
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = io.Copy(f, io.NewSectionReader(r.file, from, to-from))
	return err
}
