// SPDX-License-Identifier: Apache-2.0

package symbol

import (
	"debug/elf"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/libpf/pfelf"
)

// made returns an executable that opens a made-up file, and counts how often.
func made(t *testing.T, id uint64, opened *atomic.Int64, symbols ...madeSymbol) *Executable {
	t.Helper()
	b := makeELF(t, elf.SHT_SYMTAB, symbols...)
	return &Executable{
		FileID: libpf.NewFileID(id, id), Name: "made",
		Open: func() (*pfelf.File, error) {
			opened.Add(1)
			return pfelf.NewFile(&sliceReader{b}, int64(len(b)))
		},
	}
}

func TestNative(t *testing.T) {
	t.Parallel()
	var opened atomic.Int64
	s := New(Config{Registerer: prometheus.NewRegistry()})
	exe := made(t, 1, &opened, function("_ZN6shapes3Saw3useEm", 0x1000, 0x10), function("plain", 0x1010, 0x10))
	for range 2 {
		for vaddr, want := range map[uint64]libpf.SourceLine{
			0x1000: {Function: "shapes::Saw::use(unsigned long)", SystemName: "_ZN6shapes3Saw3useEm"},
			0x1010: {Function: "plain"},
			0x1020: {Function: "made+0x1020"},
			0:      {Function: "made+0x0"},
		} {
			if diff := cmp.Diff([]libpf.SourceLine{want}, s.Native(exe, vaddr)); diff != "" {
				t.Errorf("%#x (-want +got):\n%s", vaddr, diff)
			}
		}
	}
	if opened.Load() != 1 {
		t.Errorf("opened %d times", opened.Load())
	}
	if hits, misses := counted(t, s.metrics.hits), counted(t, s.metrics.misses); hits != 4 || misses != 4 {
		t.Errorf("%v hits, %v misses", hits, misses)
	}
	s.Close()
	if s.Bytes() != 0 {
		t.Errorf("%d bytes after Close", s.Bytes())
	}
}

func TestNativeGo(t *testing.T) {
	t.Parallel()
	s := New(Config{})
	defer s.Close()
	exe := &Executable{
		FileID: libpf.NewFileID(3, 4), Name: "self",
		Open: func() (*pfelf.File, error) { return pfelf.Open("/proc/self/exe") },
	}
	pc, file, line, _ := runtime.Caller(0)
	got := s.Native(exe, uint64(pc-1)) // the test is not position-independent
	last := got[len(got)-1]
	if !strings.HasSuffix(last.Function, "symbol.TestNativeGo") || last.File != file || last.Line != libpf.SourceLineno(line) {
		t.Errorf("got %+v, want %s:%d", got, file, line)
	}
	if got := s.Native(exe, 1); got[0].Function != "self+0x1" {
		t.Errorf("got %+v", got)
	}
}

func TestOpenFails(t *testing.T) {
	t.Parallel()
	s := New(Config{})
	now := time.Unix(1e9, 0)
	s.now = func() time.Time { return now }
	opened := 0
	b := makeELF(t, elf.SHT_SYMTAB, function("f", 0x1000, 0x10))
	exe := &Executable{FileID: libpf.NewFileID(1, 1), Name: "gone", Open: func() (*pfelf.File, error) {
		if opened++; opened < 3 {
			return nil, errors.New("no such process")
		}
		return pfelf.NewFile(&sliceReader{b}, int64(len(b)))
	}}
	ask := func(want string, wantOpened int) {
		t.Helper()
		if got := s.Native(exe, 0x1004)[0].Function; got != want || opened != wantOpened {
			t.Errorf("%q, opened %d times; want %q, %d", got, opened, want, wantOpened)
		}
	}
	ask("gone+0x1004", 1)
	ask("gone+0x1004", 1)
	now = now.Add(retryAfter)
	ask("gone+0x1004", 2)
	now = now.Add(retryAfter)
	ask("f", 3)
	if got := counted(t, s.metrics.errors.WithLabelValues(reasonOpen)); got != 2 {
		t.Errorf("counted %v errors", got)
	}
}

func TestEviction(t *testing.T) {
	t.Parallel()
	const limit = 64 << 10
	s := New(Config{MaxBytes: limit})
	var opened atomic.Int64
	for i := range uint64(50) {
		var symbols []madeSymbol
		for j := range uint64(100) {
			symbols = append(symbols, function(fmt.Sprintf("function_%d_%d", i, j), 0x1000+16*j, 16))
		}
		s.Native(made(t, i+1, &opened, symbols...), 0x1000)
		if s.Bytes() > limit {
			t.Fatalf("%d bytes of %d", s.Bytes(), limit)
		}
	}
	if evicted := counted(t, s.metrics.evictions); opened.Load() != 50 || evicted < 10 {
		t.Errorf("%d opened, %v evicted", opened.Load(), evicted)
	}
	if len(s.entries) != s.recent.Len() {
		t.Errorf("%d entries, %d in order", len(s.entries), s.recent.Len())
	}
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	s := New(Config{MaxBytes: 8 << 10})
	var symbols []madeSymbol
	for j := range uint64(200) {
		symbols = append(symbols, function(strings.Repeat("x", 100), 0x1000+16*j, 16))
	}
	var opened atomic.Int64
	if got := s.Native(made(t, 1, &opened, symbols...), 0x1000)[0].Function; got != "made+0x1000" {
		t.Errorf("got %s", got)
	}
	if got := counted(t, s.metrics.errors.WithLabelValues(reasonTooLarge)); got == 0 {
		t.Error("not counted")
	}
}

func TestConcurrent(t *testing.T) {
	t.Parallel()
	s := New(Config{MaxBytes: 32 << 10})
	var opened atomic.Int64
	exes := make([]*Executable, 20)
	for i := range exes {
		exes[i] = made(t, uint64(i+1), &opened, function(fmt.Sprintf("f%d", i), 0x1000, 0x800))
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for n := range 2000 {
				i := (n*7 + g*3) % len(exes)
				vaddr := 0x1000 + uint64(n%0x700)
				if got := s.Native(exes[i], vaddr)[0].Function; got != fmt.Sprintf("f%d", i) {
					t.Errorf("got %s, want f%d", got, i)
					return
				}
				if n%500 == 0 {
					s.Bytes()
				}
			}
		})
	}
	wg.Wait()
	s.Close()
	if s.Bytes() != 0 {
		t.Errorf("%d bytes left", s.Bytes())
	}
}

func TestUnnamed(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"libc.so.6": "libc.so.6+0x2724a", "": "[unknown]+0x2724a"} {
		if got := Unnamed(name, 0x2724a); got != want {
			t.Errorf("got %s", got)
		}
	}
}
