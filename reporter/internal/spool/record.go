// SPDX-License-Identifier: Apache-2.0

package spool

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"time"
)

// Stream says which files a record goes to.
type Stream uint8

// The streams. Counts are evicted first.
const (
	Counts Stream = iota
	Definitions

	streams = 2
)

// String returns the name of the stream, which its files begin with.
func (s Stream) String() string {
	if s == Counts {
		return "counts"
	}
	return "definitions"
}

// Header describes a record.
type Header struct {
	// Order is the record's place, given by Append.
	Order  uint64
	Stream Stream
	// Kind, Run and Sequence are the caller's, Attempted says that it tried to deliver the
	// batch before it was written.
	Kind      uint8
	Attempted bool
	Run       [16]byte
	Sequence  uint64
	// Weight in samples.
	Weight uint64
	// Time of writing, given by Append.
	Time time.Time
	// PartOf is the order of a record that this one and others take the place of; 0: none.
	// The last of them to be written has Completes. Until that is on disk the original
	// counts, and from then on they do, whenever the process dies.
	PartOf    uint64
	Completes bool
}

// Record is a header and what it stands for.
type Record struct {
	Header
	Payload []byte
}

// The header on disk, little endian:
//
//	 0 magic            24 order
//	 4 checksum of 8…   32 weight
//	 8 that of payload  40 sequence
//	12 stored bytes     48 time, ns
//	16 payload bytes    56 run
//	20 stream, kind, flags, 0
//	                   72 part of
const (
	headerBytes = 80
	magicBytes  = 4
	// maxPayload bounds what a header may make a reader allocate.
	maxPayload = 64 << 20
	// maxOrder keeps order numbers of damaged or foreign files from overflowing.
	maxOrder = 1 << 62

	flagAttempted = 1
	flagCompletes = 2
)

// magic is no text, so that it is rare in what is stored uncompressed. Its last byte is the
// format; a new one, or a new kind of record, is read by a minor version before one writes it.
var magic = [magicBytes]byte{0xd5, 'S', 'R', 0x02}

// checkFormat returns an error when a segment starts with a record of another format:
// what this version would take for damage is whole to the one that wrote it.
func checkFormat(f io.ReaderAt) error {
	var b [magicBytes]byte
	if n, err := f.ReadAt(b[:], 0); n < magicBytes && err != nil {
		return nil // too short, or not to be read, which the walker finds
	}
	const last = magicBytes - 1
	if [last]byte(b[:]) != [last]byte(magic[:]) || b[last] == magic[last] {
		return nil
	}
	return fmt.Errorf("%w: format %d, it reads %d; the version that wrote it delivers it, or it goes when the room is needed", ErrFormat, b[last], magic[last])
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// header is Header as it is on disk.
type header struct {
	Header
	stored, size int
	sum          uint32
}

func (h *header) bytes() int64 { return headerBytes + int64(h.stored) }

func (h *header) append(b []byte) []byte {
	start := len(b)
	le := binary.LittleEndian
	b = append(b, magic[:]...)
	b = le.AppendUint32(b, 0)
	b = le.AppendUint32(b, h.sum)
	b = le.AppendUint32(b, uint32(h.stored)) //nolint:gosec // at most a little over maxPayload
	b = le.AppendUint32(b, uint32(h.size))   //nolint:gosec // at most maxPayload
	flags := byte(0)
	if h.Attempted {
		flags |= flagAttempted
	}
	if h.Completes {
		flags |= flagCompletes
	}
	b = append(b, byte(h.Stream), h.Kind, flags, 0)
	b = le.AppendUint64(b, h.Order)
	b = le.AppendUint64(b, h.Weight)
	b = le.AppendUint64(b, h.Sequence)
	b = le.AppendUint64(b, uint64(h.Time.UnixNano())) //nolint:gosec // read back the same way
	b = append(b, h.Run[:]...)
	b = le.AppendUint64(b, h.PartOf)
	le.PutUint32(b[start+4:], checksum(b[start+8:start+headerBytes]))
	return b
}

// decodeHeader reads a header of the stream; ok is false when b, of headerBytes, is none.
func decodeHeader(b []byte, stream Stream) (h header, ok bool) {
	le := binary.LittleEndian
	if [magicBytes]byte(b) != magic || le.Uint32(b[4:]) != checksum(b[8:headerBytes]) {
		return header{}, false
	}
	h.sum = le.Uint32(b[8:])
	stored, size := le.Uint32(b[12:]), le.Uint32(b[16:])
	h.Stream, h.Kind, h.Attempted = Stream(b[20]), b[21], b[22]&flagAttempted != 0
	h.Order, h.Weight, h.Sequence = le.Uint64(b[24:]), le.Uint64(b[32:]), le.Uint64(b[40:])
	h.Time = time.Unix(0, int64(le.Uint64(b[48:]))) //nolint:gosec // written from an int64
	copy(h.Run[:], b[56:])
	h.PartOf, h.Completes = le.Uint64(b[72:]), b[22]&flagCompletes != 0
	if h.Stream != stream || size > maxPayload || stored > maxPayload+maxPayload/8 ||
		h.Order == 0 || h.Order > maxOrder || h.Weight > maxOrder || h.PartOf >= h.Order {
		return header{}, false
	}
	h.stored, h.size = int(stored), int(size)
	return h, true
}
