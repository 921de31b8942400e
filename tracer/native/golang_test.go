// SPDX-License-Identifier: Apache-2.0

package native

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const goProgram = `package main

import "os"

//go:noinline
func leaf(a int) int { return a*3 + 1 }

//go:noinline
func frame(a int) int { return leaf(a) + leaf(a+1) }

//go:noinline
func large(a int) int {
	var x [1000]int
	for i := range x {
		x[i] = frame(a + i)
	}
	return x[a]
}

func main() { os.Exit(large(len(os.Args))) }
`

// TestGo compares Go's own tables to the .debug_frame that the Go linker makes
// of them, and looks at functions of special shape.
func TestGo(t *testing.T) {
	t.Parallel()
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			t.Parallel()
			tables, rules := buildGo(t, arch)
			b, err := tables.file.SectionData(".debug_frame")
			if err != nil {
				t.Fatal(err)
			}
			fdes := naiveFrames(b, 0, true, 1)
			// The linker knows the CFA; it does not say where the frame pointer is.
			compareNaive(t, tables, rules, fdes, func(_ uint64, want, got string) bool {
				switch {
				case got == "go-switch", got == "stop", got == "signal":
					return true
				case want == "stop": // runtime.sigtramp; behind it is what was interrupted
					return true
				case strings.HasPrefix(want, "cfa=r7+0 "): // has popped its return address
					return got == "invalid"
				}
				if arch == "arm64" { // the CFA by X29 is what the CFA by SP is
					return goCFA(got) == goCFA(want)
				}
				return strings.HasPrefix(got, strings.Fields(want)[0]+" ")
			})
			checkGoFunctions(t, tables, rules, arch)
		})
	}
}

// goCFA returns the frame size that a rule of arm64 tells.
func goCFA(rule string) int {
	var reg, off int
	if _, err := fmt.Sscanf(rule, "cfa=r%d+%d", &reg, &off); err != nil {
		return -1
	}
	if reg == arm64FP {
		off -= 8
	}
	return off
}

// buildGo compiles a Go program and opens its tables.
func buildGo(t *testing.T, arch string) (*Tables, *Rules) {
	t.Helper()
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no Go toolchain:", err)
	}
	dir := t.TempDir()
	src, out := filepath.Join(dir, "main.go"), filepath.Join(dir, "program")
	if err := os.WriteFile(src, []byte(goProgram), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(goTool, "build", "-o", out, src)
	cmd.Env = append(os.Environ(), "GOARCH="+arch, "GOOS=linux", "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	return openFile(t, out)
}

// checkGoFunctions looks at the rows of some functions.
func checkGoFunctions(t *testing.T, tables *Tables, rules *Rules, arch string) {
	t.Helper()
	want := map[string]map[string]string{
		"amd64": {
			"main.leaf":                    "sp+8 n=0",
			"main.frame":                   "sp+8 n=0; sp+16 n=1; sp+32 n=1; sp+16 n=1; sp+8 n=0",
			"runtime.goexit":               "stop",
			"runtime.mstart":               "stop",
			"runtime.systemstack":          "sp+8 n=0; sp+16 n=1; go-switch; sp+8 n=0; go-switch; sp+8 n=0",
			"runtime.asmcgocall":           "sp+8 n=0; sp+16 n=1; go-switch; sp+8 n=0; go-switch; sp+8 n=0",
			"runtime.sigreturn__sigaction": "signal",
		},
		"arm64": {
			"main.leaf":      "sp+0 n=0",
			"main.frame":     "sp+0 n=0; sp+32 n=0; fp+40 n=1; cfa=r31+32 ra=*(cfa-32) fp=same; sp+0 n=0",
			"runtime.goexit": "stop",
			"runtime.mstart": "stop",
		},
	}[arch]
	g := tables.golang.table
	for i := range g.Funcs() {
		f, err := g.Func(i)
		if err != nil {
			t.Fatal(err)
		}
		expected, ok := want[f.Name]
		if !ok {
			continue
		}
		delete(want, f.Name)
		var got []string
		pages := map[uint64][]Row{}
		for addr := f.Entry; addr < f.End; addr++ {
			off, _ := tables.file.VaddrToOffset(addr)
			rows, ok := pages[off>>PageShift]
			if !ok {
				if rows, err = tables.Page(off >> PageShift); err != nil {
					t.Fatal(err)
				}
				pages[off>>PageShift] = rows
			}
			rule := formatRule(rules, Lookup(rows, uint16(off&(PageSize-1))))
			if len(got) == 0 || got[len(got)-1] != rule {
				got = append(got, rule)
			}
		}
		s := strings.Join(got, "; ")
		if s != expected {
			t.Errorf("%s: got  %s\nwant %s", f.Name, s, expected)
		}
	}
	for name := range want {
		t.Errorf("%s: not found", name)
	}
}
