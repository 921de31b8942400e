// SPDX-License-Identifier: Apache-2.0

package libpf

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/zeebo/xxh3"
)

// FileID names the content of an executable, a library, a kernel module or a
// piece of interpreted code, 128 bits wide.
type FileID struct{ Hash128 }

// NewFileID returns the file ID with the given halves.
func NewFileID(hi, lo uint64) FileID { return FileID{NewHash128(hi, lo)} }

// FileIDFromBytes reads a file ID from its 16-byte form.
func FileIDFromBytes(b []byte) (FileID, error) {
	h, err := Hash128FromBytes(b)
	return FileID{h}, err
}

// ParseFileID reads a file ID from text; see [ParseHash128] for the forms.
func ParseFileID(s string) (FileID, error) {
	h, err := ParseHash128(s)
	return FileID{h}, err
}

// fileIDWindow is how many bytes at each end of a file its ID covers.
const fileIDWindow = 4096

// FileIDFromReader computes the ID of a native executable of the given size in
// bytes: the first 16 bytes of SHA-256 over the first 4,096 bytes, the last
// 4,096 bytes and the size as a big-endian 64-bit number. Files shorter than
// 8,192 bytes have some bytes hashed twice. OpenTelemetry calls this value
// process.executable.build_id.htlhash.
func FileIDFromReader(r io.ReaderAt, size int64) (FileID, error) {
	h := sha256.New()
	window := min(size, fileIDWindow)
	if _, err := io.CopyN(h, io.NewSectionReader(r, 0, window), window); err != nil {
		return FileID{}, fmt.Errorf("hash head of file: %w", err)
	}
	if _, err := io.CopyN(h, io.NewSectionReader(r, size-window, window), window); err != nil {
		return FileID{}, fmt.Errorf("hash tail of file: %w", err)
	}
	var length [8]byte
	binary.BigEndian.PutUint64(length[:], uint64(size)) //nolint:gosec // a size is not negative
	h.Write(length[:])
	return FileIDFromBytes(h.Sum(nil)[:16])
}

// FileIDFromBuildID computes the ID of a kernel or kernel module, which cannot
// be read as a file while it runs, from its GNU build ID.
func FileIDFromBuildID(buildID string) FileID {
	return FileIDFromIdentity("build-id", buildID)
}

// FileIDFromIdentity computes the ID of code that has no file of its own, such
// as an interpreted function or a JIT area, from the tuple that identifies it.
// The parts are length-prefixed, so ("ab", "c") and ("a", "bc") differ.
func FileIDFromIdentity(parts ...string) FileID {
	var h xxh3.Hasher
	for _, p := range parts {
		writeString(&h, p)
	}
	s := h.Sum128()
	return NewFileID(s.Hi, s.Lo)
}

// writeString feeds s to h behind its length.
func writeString(h *xxh3.Hasher, s string) {
	writeUint64(h, uint64(len(s)))
	_, _ = h.WriteString(s) // cannot fail
}

// writeUint64 feeds v to h as 8 bytes.
func writeUint64(h *xxh3.Hasher, v uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	_, _ = h.Write(b[:]) // cannot fail
}
