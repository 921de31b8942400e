// SPDX-License-Identifier: Apache-2.0

package libpf

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// ErrHashFormat is returned (wrapped) when text or bytes are not a 128-bit hash.
var ErrHashFormat = errors.New("not a 128-bit hash")

// Hash128 is a 128-bit hash. The byte form is big endian, Hi first. The text
// form is 32 lower-case hexadecimal digits.
type Hash128 struct {
	hi, lo uint64
}

// NewHash128 returns the hash with the given halves.
func NewHash128(hi, lo uint64) Hash128 { return Hash128{hi: hi, lo: lo} }

// Hash128FromBytes reads a hash from its 16-byte form.
func Hash128FromBytes(b []byte) (Hash128, error) {
	if len(b) != 16 {
		return Hash128{}, fmt.Errorf("%w: %d bytes instead of 16", ErrHashFormat, len(b))
	}
	return Hash128{hi: binary.BigEndian.Uint64(b), lo: binary.BigEndian.Uint64(b[8:])}, nil
}

// ParseHash128 reads a hash from text: 32 hexadecimal digits in either case,
// with or without a leading 0x and with or without the dashes of a UUID.
func ParseHash128(s string) (Hash128, error) {
	digits := strings.ReplaceAll(strings.TrimPrefix(s, "0x"), "-", "")
	if len(digits) != 32 {
		return Hash128{}, fmt.Errorf("%w: %q has %d digits instead of 32", ErrHashFormat, s, len(digits))
	}
	var b [16]byte
	if _, err := hex.Decode(b[:], []byte(digits)); err != nil {
		return Hash128{}, fmt.Errorf("%w: %q: %w", ErrHashFormat, s, err)
	}
	return Hash128FromBytes(b[:])
}

// Hi returns the upper 64 bits.
func (h Hash128) Hi() uint64 { return h.hi }

// Lo returns the lower 64 bits.
func (h Hash128) Lo() uint64 { return h.lo }

// IsZero reports whether the hash is all zero, which no real hash is in practice.
func (h Hash128) IsZero() bool { return h == Hash128{} }

// Bytes returns the 16-byte big-endian form.
func (h Hash128) Bytes() (b [16]byte) {
	binary.BigEndian.PutUint64(b[:], h.hi)
	binary.BigEndian.PutUint64(b[8:], h.lo)
	return b
}

// AppendBytes appends the 16-byte big-endian form to b.
func (h Hash128) AppendBytes(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, h.hi)
	return binary.BigEndian.AppendUint64(b, h.lo)
}

// Hash32 folds the hash to 32 bits, for hash tables.
func (h Hash128) Hash32() uint32 { return uint32(h.lo ^ h.lo>>32) } //nolint:gosec // folding is the point

// Compare orders hashes by their unsigned 128-bit value.
func (h Hash128) Compare(o Hash128) int {
	if c := cmp.Compare(h.hi, o.hi); c != 0 {
		return c
	}
	return cmp.Compare(h.lo, o.lo)
}

// String returns 32 lower-case hexadecimal digits.
func (h Hash128) String() string {
	b := h.Bytes()
	return hex.EncodeToString(b[:])
}

// MarshalText implements encoding.TextMarshaler.
func (h Hash128) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hash128) UnmarshalText(text []byte) error {
	v, err := ParseHash128(string(text))
	if err != nil {
		return err
	}
	*h = v
	return nil
}
