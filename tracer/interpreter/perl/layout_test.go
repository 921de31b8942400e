// SPDX-License-Identifier: Apache-2.0

package perl

import (
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/support/skip"
	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

func TestLayouts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		revision, minor byte
		want            layout
		reason          string
	}{
		{4, 36, layout{}, "version is too old"},
		{5, 26, layout{}, "version is too old"},
		{5, 28, layout{96, 8, 7, 40, 240, false}, ""},
		{5, 30, layout{96, 8, 7, 40, 240, false}, ""},
		{5, 32, layout{104, 9, 8, 44, 240, false}, ""},
		{5, 34, layout{104, 9, 8, 44, 224, false}, ""},
		{5, 36, layout{104, 9, 8, 44, 224, true}, ""},
		{5, 41, layout{}, "development version"},
		{5, 42, layout{104, 9, 8, 44, 224, true}, ""},
		{5, 44, layout{}, "version is too new"},
	} {
		got, err := layoutOf("x", c.revision, c.minor)
		var unsupported *interpreter.UnsupportedError
		if (c.reason != "") != errors.As(err, &unsupported) || c.reason != "" && unsupported.Reason != c.reason {
			t.Errorf("%d.%d: error is %v, want %q", c.revision, c.minor, err, c.reason)
		}
		if got != c.want {
			t.Errorf("%d.%d: layout is %+v, want %+v", c.revision, c.minor, got, c.want)
		}
	}
}

// TestFirstMember disassembles Perl_block_gimme() as distributions have built it.
func TestFirstMember(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		code string
		want uint64
		ok   bool
	}{
		"Debian 5.36":      {"4883ec08488b97e00000004989f88b4228488b7a08", 224, true},
		"Debian 5.32":      {"488b97f0000000486342 28488b720885c0781f", 240, true},
		"Ubuntu 5.30":      {"f30f1efa488b87f00000008b4820488b400885c9", 240, true},
		"frame pointers":   {"f30f1efa554889e5415453488b97e00000004889fb", 224, true},
		"short offset":     {"488b4768", 104, true},
		"not a member":     {"488b4703", 3, false},
		"cut in the midst": {"4883ec08488b97e00000", 0, false},
		"nothing":          {"", 0, false},
	} {
		code, err := hex.DecodeString(strings.ReplaceAll(c.code, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := firstMember(elf.EM_X86_64, code); ok != c.ok || ok && got != c.want {
			t.Errorf("%s: %d, %v, want %d, %v", name, got, ok, c.want, c.ok)
		}
	}
	if _, ok := firstMember(elf.EM_AARCH64, []byte{0x48, 0x8b, 0x47, 0x68}); ok {
		t.Error("code of another machine is accepted")
	}
}

func FuzzFirstMember(f *testing.F) {
	f.Add([]byte{0x48, 0x8b, 0x97, 0xe0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, code []byte) {
		if off, ok := firstMember(elf.EM_X86_64, code); ok && (off < 16 || off >= maxMember) {
			t.Errorf("offset %d", off)
		}
	})
}

func TestApplyRelative(t *testing.T) {
	t.Parallel()
	var relocs []byte
	add := func(at uint64, kind uint32, addend uint64) {
		relocs = binary.LittleEndian.AppendUint64(relocs, at)
		relocs = binary.LittleEndian.AppendUint64(relocs, uint64(kind))
		relocs = binary.LittleEndian.AppendUint64(relocs, addend)
	}
	add(0x1000, uint32(elf.R_X86_64_RELATIVE), 0x51)
	add(0x1010, uint32(elf.R_X86_64_GLOB_DAT), 0x52)
	add(0x1014, uint32(elf.R_X86_64_RELATIVE), 0x53)
	add(0x1018, uint32(elf.R_X86_64_RELATIVE), 0x54)
	add(0xff8, uint32(elf.R_X86_64_RELATIVE), 0x55)
	add(0x1020, uint32(elf.R_X86_64_RELATIVE), 0x56)
	table := []uint64{1, 2, 3, 4}
	applyRelative(table, 0x1000, append(relocs, 1, 2, 3))
	if diff := cmp.Diff([]uint64{0x51, 2, 3, 0x54}, table); diff != "" {
		t.Error(diff)
	}
}

// TestHostPerl reads the perl of the host.
func TestHostPerl(t *testing.T) {
	t.Parallel()
	file, err := exec.LookPath("perl")
	if err != nil {
		skip.Because(t, "needs perl")
	}
	open := func() (*pfelf.File, error) { return pfelf.Open(file) }
	b, err := Runtime{}.Detect(&interpreter.Executable{Path: file, Open: open})
	if err != nil {
		t.Fatal(err)
	}
	if b == nil {
		skip.Because(t, "needs a perl without libperl.so")
	}
	if !strings.HasPrefix(b.Version(), "5.") {
		t.Errorf("version is %q", b.Version())
	}
	tags := map[uint32]int{}
	for _, r := range b.Ranges() {
		if r.End <= r.Start {
			t.Errorf("range %+v", r)
		}
		tags[r.Tag]++
	}
	if tags[tagLoop] == 0 || tags[tagMain] == 0 || tags[tagCatch] < 3 || len(b.Ranges()) > maxRanges {
		t.Errorf("ranges by tag are %v", tags)
	}
	for _, other := range []string{"/usr/lib/libc.so.6", "/usr/lib/libperlish"} {
		if b, err := (Runtime{}).Detect(&interpreter.Executable{Path: other, Open: func() (*pfelf.File, error) {
			return pfelf.Open("/proc/self/exe")
		}}); b != nil || err != nil {
			t.Errorf("%s is taken for Perl: %v, %v", other, b, err)
		}
	}
}
