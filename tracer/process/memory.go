// SPDX-License-Identifier: Apache-2.0

package process

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/libpf"
)

// MaxString is the most that [Memory.String] and [Memory.Text] read, in bytes.
const MaxString = 4096

// ErrMemory reports memory of a process that cannot be read: it is not mapped,
// or the process is gone. What is there may be anything, so this is normal.
var ErrMemory = errors.New("memory of the process cannot be read")

// Memory reads the memory of a process. Addresses and contents are foreign:
// every read may fail, every value may be anything, and the process goes on
// changing it meanwhile. Reads are little-endian, as both supported
// architectures are. It is safe for concurrent use.
type Memory struct {
	// read fills b from addr or fails.
	read func(b []byte, addr uint64) error
}

// NewMemory returns the memory of a running process.
func NewMemory(pid libpf.PID) Memory {
	return Memory{read: func(b []byte, addr uint64) error {
		if len(b) == 0 {
			return nil
		}
		local := []unix.Iovec{{Base: &b[0]}}
		local[0].SetLen(len(b))
		remote := []unix.RemoteIovec{{Base: uintptr(addr), Len: len(b)}}
		n, err := unix.ProcessVMReadv(int(pid), local, remote, 0)
		switch {
		case err != nil:
			return fmt.Errorf("%w: %d bytes at 0x%x: %w", ErrMemory, len(b), addr, err)
		case n != len(b):
			return fmt.Errorf("%w: %d of %d bytes at 0x%x", ErrMemory, n, len(b), addr)
		}
		return nil
	}}
}

// NewMemoryFunc returns memory that a function reads; tests use it for images
// and for broken memory.
func NewMemoryFunc(read func(b []byte, addr uint64) error) Memory { return Memory{read: read} }

// Read fills b from an address, or fails as a whole.
func (m Memory) Read(b []byte, addr uint64) error {
	if addr < 4096 || addr+uint64(len(b)) < addr {
		return fmt.Errorf("%w: %d bytes at 0x%x", ErrMemory, len(b), addr)
	}
	return m.read(b, addr)
}

// ReadAt implements [io.ReaderAt] with addresses as offsets.
func (m Memory) ReadAt(b []byte, addr int64) (int, error) {
	if err := m.Read(b, uint64(addr)); err != nil { //nolint:gosec // an address
		return 0, err
	}
	return len(b), nil
}

// Uint64 reads 8 bytes.
func (m Memory) Uint64(addr uint64) (uint64, error) {
	var b [8]byte
	err := m.Read(b[:], addr)
	return binary.LittleEndian.Uint64(b[:]), err
}

// Uint32 reads 4 bytes.
func (m Memory) Uint32(addr uint64) (uint32, error) {
	var b [4]byte
	err := m.Read(b[:], addr)
	return binary.LittleEndian.Uint32(b[:]), err
}

// Uint16 reads 2 bytes.
func (m Memory) Uint16(addr uint64) (uint16, error) {
	var b [2]byte
	err := m.Read(b[:], addr)
	return binary.LittleEndian.Uint16(b[:]), err
}

// Uint8 reads a byte.
func (m Memory) Uint8(addr uint64) (uint8, error) {
	var b [1]byte
	err := m.Read(b[:], addr)
	return b[0], err
}

// Bytes reads n bytes; more than limit is an error, as a length that was read
// from the process may be anything.
func (m Memory) Bytes(addr, n, limit uint64) ([]byte, error) {
	if n > limit {
		return nil, fmt.Errorf("%w: %d bytes at 0x%x are more than can be: at most %d", ErrMemory, n, addr, limit)
	}
	b := make([]byte, n)
	return b, m.Read(b, addr)
}

// String reads a string that ends with a zero byte, at most [MaxString] bytes of
// it, cleaned as [Clean] does.
func (m Memory) String(addr uint64) (string, error) {
	var out []byte
	var chunk [256]byte
	for len(out) < MaxString {
		// Not across a page: the next one may be missing.
		n := min(256-addr%256, uint64(MaxString-len(out))) //nolint:gosec // the loop ends before it is negative
		if err := m.Read(chunk[:n], addr); err != nil {
			return "", err
		}
		if i := bytes.IndexByte(chunk[:n], 0); i >= 0 {
			return Clean(append(out, chunk[:i]...)), nil
		}
		out = append(out, chunk[:n]...)
		addr += n
	}
	return Clean(out), nil
}

// Text reads a string of a known length, cut at [MaxString] bytes, cleaned as
// [Clean] does.
func (m Memory) Text(addr, n uint64) (string, error) {
	b, err := m.Bytes(addr, min(n, MaxString), MaxString)
	if err != nil {
		return "", err
	}
	return Clean(b), nil
}

// Clean makes text of foreign bytes: what is not UTF-8 or is a control
// character becomes a question mark, so that a name cannot break a line, a
// terminal or a format.
func Clean(b []byte) string {
	ok := true
	for _, c := range b {
		if c < 0x20 || c >= 0x7f {
			ok = false
			break
		}
	}
	if ok {
		return string(b)
	}
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r < 0x20 || r == 0x7f || r == utf8.RuneError && n <= 1 || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			out = append(out, '?')
		} else {
			out = append(out, b[:n]...)
		}
		b = b[n:]
	}
	return string(out)
}
