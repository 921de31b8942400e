// SPDX-License-Identifier: Apache-2.0

//go:build linux

package native

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/support/skip"
)

// nothing is the instruction that marks where the steps begin and end; see live.c.
const nothing = 0xd50324bf // hint #37

// TestEveryInstructionARM64 steps through programs for arm64 and checks at each
// instruction that the stack unwinds to its root.
func TestEveryInstructionARM64(t *testing.T) {
	t.Parallel()
	// Debian 12's clang says nothing of what is between the instructions that make and
	// remove a frame.
	const gcc, clang = "aarch64-linux-gnu-gcc", "clang-19"
	signed := "-march=armv8.3-a"
	for name, command := range map[string][]string{
		// Without lazy binding: see TestEveryInstruction.
		"dynamic":          {gcc, "-O2", "-fomit-frame-pointer", "-Wl,-z,now"},
		"static":           {gcc, "-O2", "-fomit-frame-pointer", "-static"},
		"frame pointers":   {gcc, "-O1", "-fno-omit-frame-pointer", "-static"},
		"no optimization":  {gcc, "-O0", "-static"},
		"signed":           {gcc, "-O2", "-fomit-frame-pointer", "-static", signed, "-mbranch-protection=pac-ret"},
		"signed leaves":    {gcc, "-O2", "-fomit-frame-pointer", "-static", signed, "-mbranch-protection=pac-ret+leaf+b-key"},
		"clang":            {clang, "--target=aarch64-linux-gnu", "-O2", "-fomit-frame-pointer", "-static"},
		"clang signed":     {clang, "--target=aarch64-linux-gnu", "-O2", "-fomit-frame-pointer", "-static", signed, "-mbranch-protection=pac-ret+leaf"},
		"stack protection": {gcc, "-O2", "-fomit-frame-pointer", "-static", "-fstack-protector-all", "-fstack-clash-protection"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stepThroughARM64(t, command)
		})
	}
}

func stepThroughARM64(t *testing.T, command []string) {
	if _, err := exec.LookPath(command[0]); err != nil {
		skip.Because(t, "needs "+command[0])
	}
	path := filepath.Join(t.TempDir(), "live")
	args := append(slices.Clone(command[1:]), "-o", path, "testdata/src/live.c")
	if out, err := exec.Command(command[0], args...).CombinedOutput(); err != nil { //nolint:gosec // a compiler
		t.Fatalf("%v\n%s", err, out)
	}
	e := startEmulated(t, path)
	p := newProcess(t, e.pid)
	p.code = "r"
	p.special = func(pc uint64) (uint16, bool) {
		// The emulator has no vDSO, but a page with a function that returns from
		// signal handlers. They return to its first byte: see gapSignal.
		const sigreturn = 0xd4000001d2801168 // mov x8, #139; svc #0
		for _, at := range []uint64{(pc + 1) &^ 3, pc - 4} {
			if v, ok := p.Uint64(at); ok && v == sigreturn {
				return RuleSignal, true
			}
		}
		return 0, false
	}
	p.readMaps()
	e.runTo(mainOf(t, p, path))
	p.readMaps() // with the libraries
	cache := map[string]symbols{}
	marks := 0
	var seen stepped
	var last callers
	for signal := "05"; marks < 2 && seen.steps < 100000; {
		delivered := signal != "05"
		signal = e.step(signal)
		r := e.registers()
		if v, ok := p.Uint64(r.PC); ok && uint32(v) == nothing { //nolint:gosec // an instruction
			marks++
		}
		if marks == 0 {
			continue
		}
		seen.steps++
		frames, end := p.unwindFrom(Stepper{ARM64: true}, r)
		list := names(cache, frames)
		if strings.HasSuffix(list[0], "longjmp") {
			// The CFA that glibc tells is no place on the stack.
			last = callers{}
			continue
		}
		problem := last.follow(p, r.PC, frames, delivered)
		if end != EndComplete || frames[len(frames)-1].file != path || len(frames) == 1 {
			problem = fmt.Sprintf("ends with %d", end)
		}
		if problem != "" {
			seen.wrong(t, problem, frames, list)
		}
	}
	seen.done(t)
}

// callers are those of the instruction before, to compare the next one's with.
type callers struct {
	known  bool
	pc     uint64
	frames []unwound
}

// follow says what is wrong with the frames at pc, after what came before, and
// keeps them: a call adds a frame, a return takes one away, and everything else
// leaves the callers as they are.
func (c *callers) follow(p *process, pc uint64, frames []unwound, delivered bool) (problem string) {
	before := *c
	*c = callers{known: true, pc: pc, frames: slices.Clone(frames)}
	v, ok := p.Uint64(before.pc &^ 7)
	if !before.known || !ok || delivered {
		return ""
	}
	if before.pc&4 != 0 {
		v >>= 32
	}
	want := slices.Clone(before.frames[1:])
	const systemCall, register = 0xd4000001, 0xfffffc1f
	switch in := uint32(v); { //nolint:gosec // an instruction
	case in == systemCall: // perhaps the return from a handler
		return ""
	case in>>26 == 0x25, in&register == 0xd63f0000: // bl, blr
		call := before.frames[0]
		call.off += 3 // where it returns to, less one
		want = append([]unwound{call}, want...)
	case in&register == 0xd65f0000, in == 0xd65f0bff, in == 0xd65f0fff: // ret, retaa, retab
		want = want[1:]
	}
	got := frames[1:]
	same := func(a, b unwound) bool { return a.file == b.file && a.off == b.off }
	if !slices.EqualFunc(got, want, same) {
		return fmt.Sprintf("after instruction %08x the callers are %v, want %v", uint32(v), got, want) //nolint:gosec // an instruction
	}
	return ""
}

// mainOf returns the address of main in a process.
func mainOf(t *testing.T, p *process, path string) uint64 {
	t.Helper()
	for _, s := range loadSymbols(path) {
		if s.Name != "main" {
			continue
		}
		for _, m := range p.maps {
			if m.path == path && s.Value >= m.off && s.Value < m.off+m.hi-m.lo {
				return s.Value - m.off + m.lo
			}
		}
	}
	t.Fatalf("%s has no main", path)
	return 0
}
