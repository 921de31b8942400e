// SPDX-License-Identifier: Apache-2.0

package pfelf

import (
	"debug/elf"
	"os"
	"path/filepath"
	"testing"
)

// TestSymbolAgreesWithStandardLibrary looks every exported symbol of the C
// library of this host up by its name.
func TestSymbolAgreesWithStandardLibrary(t *testing.T) {
	t.Parallel()
	paths, _ := filepath.Glob("/lib/*-linux-gnu/libc.so.6")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(paths, exe) {
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		dyn, _ := f.DynamicSymbols()
		byName := map[string]map[uint64]bool{}
		for _, s := range dyn {
			if s.Section == elf.SHN_UNDEF || s.Name == "" {
				continue
			}
			if byName[s.Name] == nil {
				byName[s.Name] = map[uint64]bool{}
			}
			byName[s.Name][s.Value] = true
		}
		for name, values := range byName {
			s, ok := f.ExportedSymbol(name)
			if !ok || !values[s.Value] {
				t.Errorf("%s: %s: %+v, %v; want one of %v", path, name, s, ok, values)
			}
		}
		if _, ok := f.Symbol("no_such_symbol_here"); ok {
			t.Errorf("%s: found a symbol that is not there", path)
		}
	}
}

func TestSymbolOfFullTable(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(exe)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	full, err := f.Symbols()
	if err != nil {
		t.Skip("the test is linked without symbols: run it without -ldflags=-s")
	}
	want := 0
	for _, s := range full {
		if s.Section != elf.SHN_UNDEF && s.Name != "" {
			want++
		}
	}
	got := 0
	if err := f.EachSymbol(func([]byte, Symbol) bool { got++; return true }); err != nil {
		t.Fatal(err)
	}
	if got < want {
		t.Errorf("%d symbols, want at least %d", got, want)
	}
	if s, ok := f.Symbol("runtime.main"); !ok || s.Size == 0 {
		t.Errorf("runtime.main = %+v, %v", s, ok)
	}
}
