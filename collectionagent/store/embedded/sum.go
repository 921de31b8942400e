// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// errSum is returned (wrapped) when a file does not have the bytes that were written.
var errSum = errors.New("checksum does not match: the file is damaged")

// pieceBytes is the size of the pieces of a file that have a checksum of their
// own, so that a part of a file that comes from elsewhere can be checked alone. They cost
// 4 bytes each in the list of blocks.
const pieceBytes = 256 << 10

// fileSum holds the checksums of a file.
type fileSum struct {
	// Whole is the CRC-32C of all bytes.
	Whole uint32 `json:"crc32c"`
	// Pieces are the CRC-32C of each pieceBytes, big endian, one after another.
	Pieces []byte `json:"pieces,omitempty"`
}

// pieces returns how many pieces a file has.
func pieces(size int64) int64 { return (size + pieceBytes - 1) / pieceBytes }

// valid reports whether the sums can be those of a file of a size. No sums can.
func (f *fileSum) valid(size int64) bool {
	return f == nil || int64(len(f.Pieces)) == 4*pieces(size)
}

// piece returns the sum of a piece.
func (f *fileSum) piece(n int64) uint32 { return binary.BigEndian.Uint32(f.Pieces[4*n:]) }

// summer makes the checksums of what is written to it.
type summer struct {
	whole, piece uint32
	filled       int // bytes in the piece
	size         int64
	pieces       []byte
}

// Write adds bytes. It never fails.
func (s *summer) Write(b []byte) (int, error) {
	n := len(b)
	s.size += int64(n)
	s.whole = crc32.Update(s.whole, crcTable, b)
	for len(b) > 0 {
		part := b[:min(len(b), pieceBytes-s.filled)]
		s.piece = crc32.Update(s.piece, crcTable, part)
		if s.filled += len(part); s.filled == pieceBytes {
			s.endPiece()
		}
		b = b[len(part):]
	}
	return n, nil
}

func (s *summer) endPiece() {
	s.pieces = binary.BigEndian.AppendUint32(s.pieces, s.piece)
	s.piece, s.filled = 0, 0
}

// sum returns the checksums of everything that was written. Nothing may be
// written after it.
func (s *summer) sum() *fileSum {
	if s.filled > 0 {
		s.endPiece()
	}
	return &fileSum{Whole: s.whole, Pieces: s.pieces}
}

// checkSum reads a file and compares it with what the list of blocks says of it.
func checkSum(r io.Reader, size int64, want *fileSum) error {
	var s summer
	n, err := io.Copy(&s, r)
	if err != nil {
		return fmt.Errorf("read to check: %w", err)
	}
	if n != size {
		return fmt.Errorf("%w: %d bytes instead of %d", errSum, n, size)
	}
	return s.compare(want)
}

// compare compares what was written with what it should be. It says where the
// first difference is. Files of older versions have no checksum.
func (s *summer) compare(want *fileSum) error {
	got := s.sum()
	if want == nil || (got.Whole == want.Whole && string(got.Pieces) == string(want.Pieces)) {
		return nil
	}
	if !want.valid(s.size) {
		return errSum
	}
	for n := range pieces(s.size) {
		if got.piece(n) != want.piece(n) {
			return fmt.Errorf("%w between bytes %d and %d", errSum, n*pieceBytes, min((n+1)*pieceBytes, s.size))
		}
	}
	return errSum
}
