// SPDX-License-Identifier: Apache-2.0

package python

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"github.com/strobe-profiler/strobe/tracer/process"
)

// readBytes reads an object of type bytes, or str of Python 2; nothing of one
// that is longer than [maxTable].
func readBytes(m process.Memory, r *bpfPythonProcess, addr uint64) ([]byte, error) {
	n, err := m.Uint64(addr + uint64(r.TextLength))
	if err != nil || n > maxTable {
		return nil, err
	}
	return m.Bytes(addr+uint64(r.TextData), n, maxTable)
}

// readText reads an object of type str, cleaned and cut at [process.MaxString].
func readText(m process.Memory, r *bpfPythonProcess, addr uint64) (string, error) {
	var head [24]byte
	if err := m.Read(head[:], addr+uint64(r.TextLength)); err != nil {
		return "", err
	}
	n := binary.LittleEndian.Uint64(head[:])
	if n > 1<<40 {
		return "", fmt.Errorf("%w: string of %d characters", process.ErrMemory, n)
	}
	if r.AsciiData == 0 {
		return m.Text(addr+uint64(r.TextData), n)
	}
	kind, compact, ascii, ok := textKind(binary.LittleEndian.Uint32(head[16:]))
	switch {
	case !ok:
		return "", fmt.Errorf("%w: no string", process.ErrMemory)
	case ascii && compact:
		return m.Text(addr+uint64(r.AsciiData), n)
	}
	data := addr + uint64(r.WideData)
	if !compact {
		// A pointer to the characters follows.
		var err error
		if data, err = m.Uint64(data); err != nil {
			return "", err
		}
	}
	b, err := m.Bytes(data, min(n*uint64(kind), process.MaxString), process.MaxString) //nolint:gosec // 1, 2 or 4
	if err != nil {
		return "", err
	}
	return process.Clean(decodeText(b, kind)), nil
}

// textKind reads the bit field of a string: the bytes of a character, and
// whether they follow the object's head. It begins with two bits about interning;
// they are a byte of their own in free-threaded builds of 3.13, and two from
// 3.14 on. The three places cannot be mistaken for each other: the kind is 1, 2
// or 4, and compact is set in practice.
func textKind(state uint32) (kind int, compact, ascii, ok bool) {
	for _, shift := range []uint{2, 8, 16} {
		s := state >> shift
		kind, compact, ascii = int(s&7), s&8 != 0, s&16 != 0
		if (kind == 1 || !ascii && (kind == 2 || kind == 4)) && (compact || shift == 2) {
			return kind, compact, ascii, true
		}
	}
	return 0, false, false, false
}

func decodeText(b []byte, kind int) []byte {
	out := make([]byte, 0, len(b)+len(b)/2)
	for ; len(b) >= kind; b = b[kind:] {
		var c rune
		switch kind {
		case 1:
			c = rune(b[0])
		case 2:
			c = rune(binary.LittleEndian.Uint16(b))
		default:
			c = rune(binary.LittleEndian.Uint32(b)) //nolint:gosec // anything out of range is replaced
		}
		out = utf8.AppendRune(out, c)
	}
	return out
}
