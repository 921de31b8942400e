// SPDX-License-Identifier: Apache-2.0

package dotnet

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/strobe-profiler/strobe/tracer/process"
)

// fakeMemory is a process's memory: parts by address.
type fakeMemory map[uint64][]byte

func (f fakeMemory) memory() process.Memory {
	return process.NewMemoryFunc(func(b []byte, addr uint64) error {
		for start, part := range f {
			if addr >= start && addr+uint64(len(b)) <= start+uint64(len(part)) {
				copy(b, part[addr-start:])
				return nil
			}
		}
		return process.ErrMemory
	})
}

// words makes a part of numbers of 8 bytes.
func words(v ...uint64) []byte {
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint64(b, x)
	}
	return b
}

// assembly returns the subject that testdata holds compiled; its source is
// tracer/tracertest/testdata/src/dotnet/Quarry.cs.
func assembly(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "quarry.exe"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// noisy returns memory that holds anything everywhere, the same at each read.
func noisy(seed uint64) process.Memory {
	return process.NewMemoryFunc(func(b []byte, addr uint64) error {
		r := rand.New(rand.NewPCG(seed, addr)) //nolint:gosec // a test
		if r.IntN(20) == 0 || len(b) > 1<<14 {
			return process.ErrMemory
		}
		for i := range b {
			b[i] = byte(r.Uint32())
			if r.IntN(3) == 0 {
				b[i] = 0
			}
		}
		return nil
	})
}

// damaged returns copies of b: cut, and with bytes changed.
func damaged(b []byte, seed uint64) [][]byte {
	r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test
	var out [][]byte
	for range 200 {
		c := slices.Clone(b)
		for range 1 + r.IntN(20) {
			c[r.IntN(len(c))] = byte(r.Uint32())
		}
		if r.IntN(2) == 0 {
			c = c[:r.IntN(len(c))]
		}
		out = append(out, c)
	}
	return out
}
