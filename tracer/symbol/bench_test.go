// SPDX-License-Identifier: Apache-2.0

package symbol

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/ulikunitz/xz"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/libpf/pfelf"
)

// BenchmarkLoad loads the largest library that there is.
func BenchmarkLoad(b *testing.B) {
	paths, _ := filepath.Glob("/usr/lib/x86_64-linux-gnu/libLLVM*.so*")
	if len(paths) == 0 {
		b.Skip("no libLLVM")
	}
	s := New(Config{})
	b.ReportAllocs()
	for b.Loop() {
		f, err := pfelf.Open(paths[0])
		if err != nil {
			b.Fatal(err)
		}
		for _, r := range s.load(f, &Executable{Name: "libLLVM"}) {
			b.ReportMetric(float64(r.bytes()), "table-bytes")
			r.close()
		}
	}
}

// BenchmarkNative asks for addresses that are in the cache.
func BenchmarkNative(b *testing.B) {
	s := New(Config{})
	exe := &Executable{
		FileID: libpf.NewFileID(1, 2), Name: "self",
		Open: func() (*pfelf.File, error) { return pfelf.Open("/proc/self/exe") },
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Native(exe, 0x401000)
	}
}

// BenchmarkKernel reads the kernel's symbols.
func BenchmarkKernel(b *testing.B) {
	k, err := NewKernel(KernelConfig{})
	if err != nil {
		b.Skip(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.load(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParseKallsyms is BenchmarkKernel without the kernel's part.
func BenchmarkParseKallsyms(b *testing.B) {
	text, err := os.ReadFile("/proc/kallsyms")
	if err != nil {
		b.Skip(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := parseKallsyms(bytes.NewReader(text)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReadable makes a C++ name readable.
func BenchmarkReadable(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		readable("_ZN4llvm24PrintPassInstrumentation17registerCallbacksERNS_28PassInstrumentationCallbacksE.part.0")
	}
}

// BenchmarkUnxz unpacks what a small library has.
func BenchmarkUnxz(b *testing.B) {
	packed := pack(b, noise(100_000), xz.WriterConfig{})
	b.SetBytes(100_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := unxz(packed, 1<<20); err != nil {
			b.Fatal(err)
		}
	}
}
