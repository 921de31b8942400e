// SPDX-License-Identifier: Apache-2.0

package python

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// imageBase is where the contents of a test's file are loaded.
const imageBase = 0x401000

// elfImage returns a file of one segment with the given contents at imageBase,
// and the search table of unwind information at tableBase when there is one.
func elfImage(t testing.TB, content, table []byte) *pfelf.File {
	t.Helper()
	var b bytes.Buffer
	h := elf.Header64{
		Type: uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 2,
	}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	at := uint64(64 + 2*56)
	size := uint64(len(content))
	for _, v := range []any{
		h,
		elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: 7, Off: at, Vaddr: imageBase, Filesz: size, Memsz: size},
		elf.Prog64{Type: uint32(elf.PT_GNU_EH_FRAME), Off: at + size, Vaddr: imageBase + size, Filesz: uint64(len(table)), Memsz: uint64(len(table))},
	} {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	b.Write(content)
	b.Write(table)
	f, err := pfelf.NewFile(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// image is the memory of a process: pieces by their address.
type image map[uint64][]byte

func (m image) memory() process.Memory {
	return process.NewMemoryFunc(func(b []byte, addr uint64) error {
		for at, piece := range m {
			if addr >= at && addr-at+uint64(len(b)) <= uint64(len(piece)) {
				copy(b, piece[addr-at:])
				return nil
			}
		}
		return process.ErrMemory
	})
}

// randomMemory reads as the same random bytes everywhere, at every address.
func randomMemory(seed uint64) process.Memory {
	return process.NewMemoryFunc(func(b []byte, addr uint64) error {
		r := rand.New(rand.NewPCG(seed, addr)) //nolint:gosec // a test
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return nil
	})
}
