// SPDX-License-Identifier: Apache-2.0

package gopclntab

import (
	"bufio"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
)

// subject is a program that prints what its own runtime knows: the address of
// main.main, the logical frames of a stack with inlined calls, and the
// innermost frame of many addresses.
const subject = `package main

import (
	"fmt"
	"os"
	"reflect"
	"runtime"
)
%s
type grinder struct{ pcs [32]uintptr }

func (g *grinder) crush(n int) int { // line 11
	return n + runtime.Callers(1, g.pcs[:])
}

func (g *grinder) mill(n int) int { return g.crush(n + 1) } // line 15

func twice[T any](f func(T) T, v T) T { return f(f(v)) }

//go:noinline
func outer(g *grinder) int {
	return 3 *
		g.mill(2) // line 22
}

func main() {
	var g grinder
	sink := outer(&g) + twice(func(i int) int { return i + 1 }, 4)
	fmt.Println("main", reflect.ValueOf(main).Pointer())
	frames := runtime.CallersFrames(g.pcs[:])
	for {
		f, more := frames.Next()
		if f.PC != 0 {
			fmt.Println("frame", f.PC, f.Function, f.File, f.Line)
		}
		if !more {
			break
		}
	}
	base := reflect.ValueOf(os.Getenv).Pointer()
	for i := uintptr(0); i < 300000; i += 149 {
		pc := base + i - 150000
		if f, _ := runtime.CallersFrames([]uintptr{pc + 1}).Next(); f.Function != "" {
			fmt.Println("pc", pc, f.Function, f.File, f.Line)
		}
	}
	_ = sink
}
`

// want is one line of what the subject prints.
type want struct {
	kind     string
	pc       uint64
	function string
	file     string
	line     int
}

// build compiles the subject and returns the path of the program.
func build(t *testing.T, cgo bool, args ...string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("compiles programs")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no Go toolchain: ", err)
	}
	dir := t.TempDir()
	extra, enabled := "", "0"
	if cgo {
		if _, err := exec.LookPath("gcc"); err != nil {
			t.Skip("no C compiler: ", err)
		}
		extra, enabled = "\n// int one(void) { return 1; }\nimport \"C\"\nvar _ = C.one()\n", "1"
	}
	src := filepath.Join(dir, "main.go")
	if err := os.WriteFile(src, fmt.Appendf(nil, subject, extra), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "subject")
	cmd := exec.Command("go", append(append([]string{"build", "-o", out}, args...), src)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED="+enabled, "GOFLAGS=", "GO111MODULE=off")
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, msg)
	}
	return out
}

// run executes the subject.
func run(t *testing.T, path string) (mainPC uint64, wants []want) {
	t.Helper()
	out, err := exec.Command(path).Output()
	if err != nil {
		t.Fatal(err)
	}
	s := bufio.NewScanner(strings.NewReader(string(out)))
	for s.Scan() {
		f := strings.Split(s.Text(), " ")
		pc, err := strconv.ParseUint(f[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if f[0] == "main" {
			mainPC = pc
			continue
		}
		// Function names of generics hold spaces.
		line, err := strconv.Atoi(f[len(f)-1])
		if err != nil {
			t.Fatal(err)
		}
		wants = append(wants, want{f[0], pc, strings.Join(f[2:len(f)-2], " "), f[len(f)-2], line})
	}
	return mainPC, wants
}

func open(t *testing.T, path string) *Table {
	t.Helper()
	f, err := pfelf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	table, err := Open(f)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestAgainstRuntime(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		cgo  bool
		args []string
		// hide renames the sections, so that the table must be searched for.
		hide bool
	}{
		"plain":        {},
		"renamed":      {args: []string{"-ldflags=-s -w"}, hide: true},
		"stripped-pie": {args: []string{"-buildmode=pie", "-ldflags=-s -w"}},
		"cgo":          {cgo: true},
		"cgo-external": {cgo: true, args: []string{"-ldflags=-linkmode=external -s -w"}},
		"cgo-pie":      {cgo: true, args: []string{"-buildmode=pie", "-ldflags=-linkmode=external -s -w"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := build(t, test.cgo, test.args...)
			mainPC, wants := run(t, path)
			if test.hide {
				hideSections(t, path)
			}
			table := open(t, path)
			if !table.HasInlineTrees() {
				t.Error("no inline trees")
			}
			bias := mainPC - entryOf(t, table, "main.main")
			checkInnermost(t, table, bias, wants)
			checkStack(t, table, bias, wants)
		})
	}
}

func entryOf(t *testing.T, table *Table, name string) uint64 {
	t.Helper()
	for i := range table.Funcs() {
		f, err := table.Func(i)
		if err != nil {
			t.Fatal(err)
		}
		if f.Name == name {
			return f.Entry
		}
	}
	t.Fatalf("no function %s", name)
	return 0
}

// checkInnermost compares the innermost function and line of many addresses.
func checkInnermost(t *testing.T, table *Table, bias uint64, wants []want) {
	t.Helper()
	checked, inlined := 0, 0
	for _, w := range wants {
		if w.kind != "pc" {
			continue
		}
		i, ok := table.Find(w.pc - bias)
		if !ok {
			t.Errorf("%#x: not found, want %s", w.pc, w.function)
			continue
		}
		lines, err := table.Inlined(i, w.pc-bias)
		if err != nil {
			t.Errorf("%#x: %v", w.pc, err)
			continue
		}
		if next, ok := table.Find(w.pc - bias + 1); ok && next != i || lines[0].File == "" {
			continue // padding: the runtime names the next function
		}
		got := want{"pc", w.pc, printed(lines[0].Function), lines[0].File, int(lines[0].Line)}
		if diff := cmp.Diff(w, got, cmp.AllowUnexported(want{})); diff != "" {
			t.Errorf("%#x (-runtime +table):\n%s", w.pc, diff)
		}
		checked++
		if len(lines) > 1 {
			inlined++
		}
	}
	if checked < 500 || inlined < 50 {
		t.Errorf("only %d addresses checked, %d of them inlined", checked, inlined)
	}
}

// printed returns a function name as the runtime prints it.
func printed(name string) string {
	from, to := strings.Index(name, "["), strings.LastIndex(name, "]")
	if from < 0 || to < from {
		return name
	}
	return name[:from] + "[...]" + name[to+1:]
}

// checkStack compares the expansion of the inlined calls of outer.
func checkStack(t *testing.T, table *Table, bias uint64, wants []want) {
	t.Helper()
	var chain []want
	for _, w := range wants {
		if w.kind == "frame" && strings.HasPrefix(w.function, "main.") && w.function != "main.main" {
			chain = append(chain, w)
		}
	}
	var got []want
	inlined := false
	for len(got) < len(chain) {
		w := chain[len(got)]
		pc := w.pc - bias // the runtime has taken 1 off return addresses already
		i, ok := table.Find(pc)
		if !ok {
			t.Fatalf("%#x: not found", pc)
		}
		lines, err := table.Inlined(i, pc)
		if err != nil {
			t.Fatal(err)
		}
		inlined = inlined || len(lines) > 1
		for _, l := range lines {
			if l.StartLine == 0 || l.StartLine > l.Line {
				t.Errorf("%s: starts on line %d", l.Function, l.StartLine)
			}
			w.function, w.file, w.line = l.Function, l.File, int(l.Line)
			if len(got) < len(chain) {
				w.pc = chain[len(got)].pc // of another logical frame
			}
			got = append(got, w)
		}
	}
	if !inlined || len(chain) != 3 {
		t.Fatalf("the subject was not inlined as expected: %+v", chain)
	}
	if diff := cmp.Diff(chain, got, cmp.AllowUnexported(want{})); diff != "" {
		t.Errorf("inlined calls (-runtime +table):\n%s", diff)
	}
}

// hideSections gives the sections of a program other names.
func hideSections(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := strings.NewReplacer(".gopclntab\x00", ".hiddentab\x00", ".go.module\x00", ".hi.module\x00").Replace(string(b))
	if err := os.WriteFile(path, []byte(s), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
}

// TestSelf reads the program of the test itself completely.
func TestSelf(t *testing.T) {
	t.Parallel()
	table := open(t, "/proc/self/exe")
	sps, previous := 0, uint64(0)
	for i := range table.Funcs() {
		f, err := table.Func(i)
		if err != nil {
			t.Fatal(err)
		}
		if f.Name == "" || f.Entry < previous || f.End < f.Entry {
			t.Errorf("function %d: %+v", i, f)
		}
		previous = f.Entry
		if f.Name == "runtime.goexit" && f.Flags&FlagTopFrame == 0 {
			t.Error("runtime.goexit is not the top of a stack")
		}
		at := uint64(0)
		err = table.PCSP(i, func(pc uint64, delta int32) bool {
			if pc < f.Entry || pc >= f.End || (at != 0 && pc <= at) || delta < 0 && f.Flags&FlagSPWrite == 0 && f.Flags&FlagAsm == 0 {
				t.Errorf("%s: step at %#x to %d", f.Name, pc, delta)
			}
			at = pc
			sps++
			return true
		})
		if err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
	if sps < table.Funcs() {
		t.Errorf("%d steps in %d functions", sps, table.Funcs())
	}
	pc, file, line, _ := runtime.Caller(0)
	if i, ok := table.Find(uint64(pc) - 1); ok { // the test is not position-independent
		gotFile, gotLine, err := table.Line(i, uint64(pc)-1)
		if err != nil || gotFile != file || gotLine != line {
			t.Errorf("Line = %s:%d, %v; want %s:%d", gotFile, gotLine, err, file, line)
		}
	}
}

func TestFindBounds(t *testing.T) {
	t.Parallel()
	table := open(t, "/proc/self/exe")
	first, _ := table.Bounds(0)
	_, end := table.Bounds(table.Funcs() - 1)
	for pc, want := range map[uint64]bool{0: false, first - 1: false, first: true, end - 1: true, end: false, ^uint64(0): false} {
		if _, ok := table.Find(pc); ok != want {
			t.Errorf("Find(%#x) = %v", pc, ok)
		}
	}
	for i := range table.Funcs() {
		entry, end := table.Bounds(i)
		if entry == end {
			continue
		}
		if got, ok := table.Find(end - 1); !ok || got != i {
			t.Fatalf("Find(%#x) = %d, %v; want %d", end-1, got, ok, i)
		}
	}
}

func TestNotGo(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("sh")
	if err != nil {
		t.Skip(err)
	}
	f, err := elf.Open(path)
	if err != nil {
		t.Skip(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := openELF(f, true); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestBlobStrings(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 3*windowSize)
	b := newBlob(strings.NewReader("ab\x00"+long+"\x00"), 0, uint64(len(long)+4))
	for off, want := range map[uint64]string{0: "ab", 1: "b", 2: "", 3: long} {
		if got, err := b.cstring(off, 4*windowSize); err != nil || got != want {
			t.Errorf("cstring(%d): %d bytes, %v", off, len(got), err)
		}
	}
	if got, err := b.cstring(3, 100); err != nil || got != long[:100] {
		t.Errorf("limited cstring: %d bytes, %v", len(got), err)
	}
	if _, err := newBlob(strings.NewReader("abc"), 0, 10).cstring(0, 100); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("short file: %v", err)
	}
	if _, err := b.cstring(b.size, 1); !errors.Is(err, ErrCorrupt) {
		t.Errorf("beyond the end: %v", err)
	}
}
