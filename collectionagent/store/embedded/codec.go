// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// errCodec is returned (wrapped) when stored bytes do not decode.
var errCodec = errors.New("stored bytes do not decode")

// appendString appends s behind its length.
func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// decoder reads what the append functions wrote. After the first error all
// reads return zero values and err stays set, so callers check once.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s is cut short", errCodec, what)
	}
	d.b = nil
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail("number")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail("number")
		return 0
	}
	d.b = d.b[n:]
	return v
}

// bytes returns the next n bytes, which alias the input.
func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail("bytes")
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) byte() byte {
	if v := d.bytes(1); len(v) == 1 {
		return v[0]
	}
	return 0
}

func (d *decoder) string() string { return string(d.bytes(d.uvarint())) }

// count reads the number of elements that follow, each at least size bytes long.
func (d *decoder) count(size uint64) int {
	n := d.uvarint()
	if n > uint64(len(d.b))/size {
		d.fail("list")
		return 0
	}
	return int(n) //nolint:gosec // bounded by the length of a slice
}

// hash reads 16 bytes.
func (d *decoder) hash() libpf.Hash128 {
	b := d.bytes(16)
	if len(b) != 16 {
		return libpf.Hash128{}
	}
	return libpf.NewHash128(binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]))
}

// appendBatchID appends the identity of a batch.
func appendBatchID(b []byte, id *store.BatchID) []byte {
	b = appendString(b, id.Project)
	b = appendString(b, id.HostID)
	b = append(b, id.RunID[:]...)
	b = append(b, byte(id.Type))
	return binary.AppendUvarint(b, id.Sequence)
}

func (d *decoder) batchID() (id store.BatchID) {
	id.Project = d.string()
	id.HostID = d.string()
	copy(id.RunID[:], d.bytes(16))
	id.Type = store.BatchType(d.byte())
	id.Sequence = d.uvarint()
	return id
}

// appendSeries appends a series. Equal series have equal bytes, so the result
// also serves as the key of the series.
func appendSeries(b []byte, s *store.Series) []byte {
	b = appendString(b, s.Project)
	b = append(b, byte(s.Type))
	for _, text := range [...]string{
		s.Service, s.HostID, s.Host, s.Namespace, s.Pod, s.ContainerID, s.Container, s.Process, s.Executable, s.Comm,
	} {
		b = appendString(b, text)
	}
	b = binary.AppendUvarint(b, uint64(s.PID))
	b = binary.AppendUvarint(b, s.ProcessStart)
	b = binary.AppendUvarint(b, uint64(s.TID))
	b = binary.AppendUvarint(b, uint64(len(s.Labels)))
	for _, l := range s.Labels {
		b = appendString(b, l.Key)
		b = appendString(b, l.Value)
	}
	return b
}

func (d *decoder) series() (s store.Series) {
	s.Project = d.string()
	s.Type = libpf.SampleType(d.byte())
	for _, text := range [...]*string{
		&s.Service, &s.HostID, &s.Host, &s.Namespace, &s.Pod, &s.ContainerID, &s.Container, &s.Process, &s.Executable, &s.Comm,
	} {
		*text = d.string()
	}
	s.PID = libpf.PID(d.uvarint()) //nolint:gosec // was written from one
	s.ProcessStart = d.uvarint()
	s.TID = libpf.TID(d.uvarint()) //nolint:gosec // was written from one
	if n := d.count(2); n > 0 {
		s.Labels = make([]libpf.Label, n)
		for i := range s.Labels {
			s.Labels[i] = libpf.Label{Key: d.string(), Value: d.string()}
		}
	}
	return s
}

// resize returns a slice of n zero values, in the memory of s if it has room.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// appendSymbol appends whether a symbol is a fallback, and its lines.
func appendSymbol(b []byte, s *store.Symbol) []byte {
	var flags byte
	if s.Fallback {
		flags = 1
	}
	b = append(b, flags)
	b = binary.AppendUvarint(b, uint64(len(s.Lines)))
	for i := range s.Lines {
		l := &s.Lines[i]
		b = appendString(b, l.Function)
		b = appendString(b, l.SystemName)
		b = appendString(b, l.File)
		b = binary.AppendUvarint(b, uint64(l.Line))
		b = binary.AppendUvarint(b, uint64(l.StartLine))
	}
	return b
}

func decodeSymbol(b []byte) (fallback bool, lines []libpf.SourceLine, err error) {
	d := decoder{b: b}
	fallback = d.byte() == 1
	lines = make([]libpf.SourceLine, d.count(5))
	for i := range lines {
		lines[i] = libpf.SourceLine{
			Function: d.string(), SystemName: d.string(), File: d.string(),
			Line: libpf.SourceLineno(d.uvarint()), StartLine: libpf.SourceLineno(d.uvarint()),
		}
	}
	return fallback, lines, d.err
}
