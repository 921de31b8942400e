// SPDX-License-Identifier: Apache-2.0

package native

import (
	"path/filepath"
	"testing"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
)

// systemFiles are files that many machines have, by what they are good for.
var systemFiles = map[string][]string{
	"libc":   {"/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib64/libc.so.6", "/lib/aarch64-linux-gnu/libc.so.6"},
	"ld.so":  {"/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"},
	"crypto": {"/usr/lib/x86_64-linux-gnu/libcrypto.so.3", "/usr/lib64/libcrypto.so.3"},
	"LLVM":   {"/usr/lib/x86_64-linux-gnu/libLLVM-19.so*", "/usr/lib/llvm-*/lib/libLLVM*.so*"},
	"go":     {"/proc/self/exe"},
}

// openSystem opens the tables of a file of the machine, or skips.
func openSystem(tb testing.TB, name string) (*Tables, *Rules) {
	tb.Helper()
	for _, pattern := range systemFiles[name] {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			f, err := pfelf.Open(path)
			if err != nil {
				continue
			}
			tb.Cleanup(func() { _ = f.Close() })
			rules := NewRules()
			t, err := Open(f, rules)
			if err != nil {
				tb.Fatalf("%s: %v", path, err)
			}
			return t, rules
		}
	}
	tb.Skipf("this machine has none of %v", systemFiles[name])
	return nil, nil
}

// BenchmarkPage loads the pages of a file one after another, as misses do.
func BenchmarkPage(b *testing.B) {
	for name := range systemFiles {
		b.Run(name, func(b *testing.B) {
			t, _ := openSystem(b, name)
			first, n := t.Pages()
			rows := 0
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				r, err := t.Page(first + uint64(i%n))
				if err != nil {
					b.Fatal(err)
				}
				rows += len(r)
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}

// BenchmarkFile makes the rows of whole files.
func BenchmarkFile(b *testing.B) {
	for name := range systemFiles {
		b.Run(name, func(b *testing.B) {
			rows := 0
			b.ReportAllocs()
			for b.Loop() {
				t, _ := openSystem(b, name)
				first, n := t.Pages()
				for i := range uint64(n) {
					r, err := t.Page(first + i)
					if err != nil {
						b.Fatal(err)
					}
					rows += len(r)
				}
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}
