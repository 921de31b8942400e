// SPDX-License-Identifier: Apache-2.0

package symbol

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/libpf/pfelf"
)

// These tests compile programs, because what linkers and strip write is what
// has to be read. They are skipped, with the reason, where a tool is missing.

const subjectC = `#include <string.h>
#include <stdlib.h>
static __attribute__((noinline)) int hidden(int n) { return n * 3 + rand(); }
__attribute__((noinline)) int visible(int n) { return hidden(n) + (getenv("X") != 0); }
int visible_alias(int n) __attribute__((weak, alias("visible")));
int main(int argc, char **argv) { return visible(argc) + (int)strlen(argv[0]); }
`

const subjectCC = `namespace shapes {
struct Saw { unsigned long n; __attribute__((noinline)) unsigned long use(unsigned long k); };
unsigned long Saw::use(unsigned long k) { return n += k; }
template <class T> __attribute__((noinline)) T twice(T v) { return v + v; }
}
int main(int argc, char **) { shapes::Saw s{1}; return (int)(s.use(argc) + shapes::twice<long>(argc)); }
`

const subjectRust = `mod forge {
    #[inline(never)]
    pub fn strike<T: std::ops::Add<Output = T> + Copy>(x: T) -> T { x + x }
}
fn main() { println!("{}", forge::strike(std::env::args().count())); }
`

// tool runs a program, and skips the test if it is not there.
func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skip("needs a tool: ", err)
	}
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, args, err, out)
	}
}

// compile builds a program and returns its path.
func compile(t *testing.T, compiler, file, source string, args ...string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("compiles programs")
	}
	dir := t.TempDir()
	src, out := filepath.Join(dir, file), filepath.Join(dir, "subject")
	if err := os.WriteFile(src, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, compiler, append([]string{"-o", out, src}, args...)...)
	return out
}

// addresses returns the addresses of the functions of a program, by their raw
// names.
func addresses(t *testing.T, path string) map[string]uint64 {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	syms, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]uint64)
	for _, s := range syms {
		if elf.ST_TYPE(s.Info) == elf.STT_FUNC && s.Section != elf.SHN_UNDEF {
			found[s.Name] = s.Value
		}
	}
	return found
}

// executable names a program for a Symbolizer.
func executable(path string) *Executable {
	return &Executable{
		FileID: libpf.FileIDFromIdentity(path), Name: filepath.Base(path), Path: path,
		Open: func() (*pfelf.File, error) { return pfelf.Open(path) },
	}
}

// expectSource checks that a table came from a source.
func expectSource(t *testing.T, s *Symbolizer, source string) {
	t.Helper()
	if counted(t, s.metrics.loaded.WithLabelValues(source)) != 1 {
		t.Errorf("the symbols did not come from %s", source)
	}
}

func TestCompiledC(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"pie":         {"-O2"},
		"no-pie":      {"-O2", "-no-pie"},
		"ibt":         {"-O2", "-fcf-protection=full", "-Wl,-z,ibtplt"},
		"bind-now":    {"-O2", "-Wl,-z,now"},
		"no-plt-sort": {"-O0", "-Wl,-z,lazy"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := compile(t, "gcc", "subject.c", subjectC, args...)
			s := New(Config{})
			exe := executable(path)
			addrs := addresses(t, path)
			for raw, want := range map[string]string{"main": "main", "hidden": "hidden", "visible": "visible", "_start": "_start"} {
				if got := s.Native(exe, addrs[raw]+2)[0].Function; got != want {
					t.Errorf("%s: got %s", raw, got)
				}
			}
			expectSource(t, s, sourceSymtab)
			checkPLT(t, s, exe, "rand@plt", "getenv@plt")
		})
	}
}

// checkPLT checks that some of the names are found in the stubs.
func checkPLT(t *testing.T, s *Symbolizer, exe *Executable, names ...string) {
	t.Helper()
	f, err := elf.Open(exe.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	found := make(map[string]bool)
	for _, sec := range f.Sections {
		if !strings.HasPrefix(sec.Name, ".plt") || sec.Flags&elf.SHF_EXECINSTR == 0 {
			continue
		}
		for addr := sec.Addr; addr < sec.Addr+sec.Size; addr += 4 {
			found[s.Native(exe, addr)[0].Function] = true
		}
	}
	if f.Machine != elf.EM_X86_64 {
		return
	}
	for _, name := range names {
		if !found[name] {
			t.Errorf("no %s among %v", name, found)
		}
	}
}

func TestCompiledCPlusPlus(t *testing.T) {
	t.Parallel()
	path := compile(t, "g++", "subject.cc", subjectCC, "-O1")
	s := New(Config{})
	addrs := addresses(t, path)
	for raw, want := range map[string]string{
		"_ZN6shapes3Saw3useEm":      "shapes::Saw::use(unsigned long)",
		"_ZN6shapes5twiceIlEET_S1_": "long shapes::twice<long>(long)",
	} {
		got := s.Native(executable(path), addrs[raw])[0]
		if got.Function != want || got.SystemName != raw {
			t.Errorf("%s at %#x: %+v", raw, addrs[raw], got)
		}
	}
}

func TestCompiledRust(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{"legacy": {"-O"}, "v0": {"-O", "-Csymbol-mangling-version=v0"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := compile(t, "rustc", "subject.rs", subjectRust, args...)
			s := New(Config{})
			found := false
			for raw, addr := range addresses(t, path) {
				if got := s.Native(executable(path), addr)[0].Function; strings.Contains(raw, "strike") {
					found = true
					if !strings.HasPrefix(got, "subject::forge::strike") || strings.Contains(got, "17h") {
						t.Errorf("%s: got %s", raw, got)
					}
				}
			}
			if !found {
				t.Error("no such function")
			}
		})
	}
}

// TestDebugFiles strips a program and finds its names in separate files.
func TestDebugFiles(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		buildID string // argument of the linker
		// place returns where the debug file goes.
		place func(dir, debugDir, buildID string) string
		spoil bool // the debug file is that of another program
		want  string
	}{
		"build ID": {
			buildID: "0x0123456789abcdef",
			place: func(_, debugDir, id string) string {
				return filepath.Join(debugDir, ".build-id", id[:2], id[2:]+".debug")
			},
			want: sourceDebugFile,
		},
		"beside": {
			buildID: "none",
			place:   func(dir, _, _ string) string { return filepath.Join(dir, "subject.debug") },
			want:    sourceDebugFile,
		},
		"dot debug": {
			buildID: "none",
			place:   func(dir, _, _ string) string { return filepath.Join(dir, ".debug", "subject.debug") },
			want:    sourceDebugFile,
		},
		"below the debug folder": {
			buildID: "0x42424242",
			place:   func(dir, debugDir, _ string) string { return filepath.Join(debugDir, dir, "subject.debug") },
			want:    sourceDebugFile,
		},
		"wrong sum": {
			buildID: "none",
			place:   func(dir, _, _ string) string { return filepath.Join(dir, "subject.debug") },
			spoil:   true,
			want:    sourceNone,
		},
		"none": {
			buildID: "none",
			place:   func(dir, _, _ string) string { return filepath.Join(dir, "elsewhere.debug") },
			want:    sourceNone,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := compile(t, "gcc", "subject.c", subjectC, "-O1", "-no-pie", "-Wl,--build-id="+test.buildID)
			hidden := addresses(t, path)["hidden"]
			dir, debugDir := filepath.Dir(path), t.TempDir()
			debug := filepath.Join(t.TempDir(), "subject.debug")
			tool(t, "objcopy", "--only-keep-debug", path, debug)
			tool(t, "objcopy", "--strip-all", "--add-gnu-debuglink="+debug, path)
			to := test.place(dir, debugDir, strings.TrimPrefix(test.buildID, "0x"))
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(debug)
			if err != nil {
				t.Fatal(err)
			}
			if test.spoil {
				b = append(b, 0)
			}
			if err := os.WriteFile(to, b, 0o600); err != nil {
				t.Fatal(err)
			}
			s := New(Config{DebugDirs: []string{debugDir}})
			got := s.Native(executable(path), hidden)[0].Function
			if test.want == sourceDebugFile {
				expectSource(t, s, sourceDebugFile)
				if got != "hidden" {
					t.Errorf("got %s", got)
				}
			} else if got != Unnamed("subject", hidden) {
				t.Errorf("got %s", got)
			}
			if spoilt := counted(t, s.metrics.errors.WithLabelValues(reasonDebugFile)) == 1; spoilt != test.spoil {
				t.Errorf("counted as an error: %v", spoilt)
			}
		})
	}
}

// TestMiniDebug packs the names of local functions into a stripped library, as
// Fedora does.
func TestMiniDebug(t *testing.T) {
	t.Parallel()
	path := compile(t, "gcc", "subject.c", subjectC, "-O1", "-shared", "-fPIC", "-Wl,--build-id=none")
	addrs := addresses(t, path)
	mini := filepath.Join(t.TempDir(), "mini")
	tool(t, "objcopy", "--only-keep-debug", path, mini)
	b, err := os.ReadFile(mini)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(mini+".xz", pack(t, b, xz.WriterConfig{}), 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, "objcopy", "--strip-all", "--add-section=.gnu_debugdata="+mini+".xz", path)
	s := New(Config{DebugDirs: []string{t.TempDir()}})
	for _, name := range []string{"hidden", "visible"} {
		if got := s.Native(executable(path), addrs[name])[0].Function; got != name {
			t.Errorf("%s: got %s", name, got)
		}
	}
	expectSource(t, s, sourceMiniDebug)
}

// TestStripped shows that addresses between exported functions get no wrong name.
func TestStripped(t *testing.T) {
	t.Parallel()
	path := compile(t, "gcc", "subject.c", subjectC, "-O1", "-shared", "-fPIC")
	addrs := addresses(t, path)
	tool(t, "objcopy", "--strip-all", path)
	s := New(Config{DebugDirs: []string{t.TempDir()}})
	exe := executable(path)
	if got := s.Native(exe, addrs["visible"])[0].Function; got != "visible" {
		t.Errorf("visible: got %s", got)
	}
	if got, want := s.Native(exe, addrs["hidden"])[0].Function, Unnamed("subject", addrs["hidden"]); got != want {
		t.Errorf("hidden: got %s, want %s", got, want)
	}
	expectSource(t, s, sourceDynsym)
}

const subjectCgo = `package main

/*
#include <stdlib.h>
__attribute__((noinline)) static int keel(int n) { return n + rand(); }
int hull(int n) { return keel(n) * 2; }
*/
import "C"

//go:noinline
func harbour(n int) int { return n + 1 }

func main() { println(harbour(int(C.hull(3)))) }
`

// TestCompiledCgo finds the names of both languages in one program.
func TestCompiledCgo(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("compiles programs")
	}
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("needs a C compiler: ", err)
	}
	dir := t.TempDir()
	src, path := filepath.Join(dir, "main.go"), filepath.Join(dir, "subject")
	if err := os.WriteFile(src, []byte(subjectCgo), 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, "env", "CGO_ENABLED=1", "GOFLAGS=", "GO111MODULE=off", "go", "build", "-o", path, src)
	addrs := addresses(t, path)
	s := New(Config{})
	defer s.Close()
	exe := executable(path)
	for raw, want := range map[string]string{"main.harbour": "main.harbour", "main.main": "main.main", "keel": "keel", "hull": "hull"} {
		got := s.Native(exe, addrs[raw]+1)
		last := got[len(got)-1]
		if last.Function != want || strings.HasPrefix(raw, "main.") && filepath.Base(last.File) != "main.go" {
			t.Errorf("%s at %#x: got %+v", raw, addrs[raw], got)
		}
	}
	expectSource(t, s, sourceGo)
	expectSource(t, s, sourceSymtab)
}
