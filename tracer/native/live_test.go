// SPDX-License-Identifier: Apache-2.0

//go:build linux && amd64

package native

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestEveryInstruction steps through a program and checks at each instruction
// that the stack unwinds to its root.
func TestEveryInstruction(t *testing.T) {
	for name, flags := range map[string][]string{
		// Without lazy binding: _dl_runtime_resolve finds its frame by RBX, which
		// is not followed beyond the leaf.
		"dynamic": {"-Wl,-z,now"},
		"static":  {"-static"},
	} {
		t.Run(name, func(t *testing.T) { stepThrough(t, flags) })
	}
}

func stepThrough(t *testing.T, flags []string) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no C compiler:", err)
	}
	path := filepath.Join(t.TempDir(), "live")
	args := append([]string{"-O2", "-fomit-frame-pointer", "-o", path, "testdata/src/live.c"}, flags...)
	if out, err := exec.Command(cc, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	runtime.LockOSThread() // only the thread that traces may ask
	defer runtime.UnlockOSThread()
	cmd := exec.Command(path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); errors.Is(err, os.ErrPermission) {
		t.Skip("processes may not be traced here:", err)
	} else if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	pid := cmd.Process.Pid
	wait := func() (stopped unix.Signal) {
		var ws unix.WaitStatus
		if _, err := unix.Wait4(pid, &ws, 0, nil); err != nil || !ws.Stopped() {
			t.Fatalf("status %#x, %v", ws, err)
		}
		return ws.StopSignal()
	}
	wait() // for the exec
	if err := unix.PtraceCont(pid, 0); err != nil {
		t.Fatal(err)
	}
	wait() // for the first int3
	p := newProcess(t, pid)
	p.readMaps()
	cache := map[string]symbols{}
	var seen stepped
	for signal := 0; seen.steps < 100000; seen.steps++ {
		if err := singleStep(pid, signal); err != nil {
			t.Fatal(err)
		}
		signal = 0
		if s := wait(); s != unix.SIGTRAP {
			signal = int(s)
			continue
		}
		if p.atTrap(pid) {
			break
		}
		frames, end := p.unwind(pid)
		if end == EndComplete && strings.HasSuffix(frames[len(frames)-1].file, "/live") && len(frames) > 1 {
			continue
		}
		list := names(cache, frames)
		if len(frames) == 1 && strings.HasSuffix(list[0], "longjmp") && frames[0].rule == "invalid" {
			continue // its registers are in a structure, and then in other registers
		}
		seen.wrong(t, fmt.Sprintf("ends with %d", end), frames, list)
	}
	seen.done(t)
}

// singleStep lets a stopped process run one instruction, delivering a signal.
func singleStep(pid, signal int) error {
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SINGLESTEP, uintptr(pid), 0, uintptr(signal), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// unwind returns the frames of a stopped thread, leaf first.
func (p *process) unwind(tid int) ([]unwound, End) {
	p.t.Helper()
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &regs); err != nil {
		p.t.Fatal(err)
	}
	r := Registers{PC: regs.Rip, SP: regs.Rsp, FP: regs.Rbp, Leaf: true, Exact: int64(regs.Orig_rax) < 0}
	copy(r.GPR[:], []uint64{
		regs.Rax, regs.Rdx, regs.Rcx, regs.Rbx, regs.Rsi, regs.Rdi, regs.Rbp, regs.Rsp,
		regs.R8, regs.R9, regs.R10, regs.R11, regs.R12, regs.R13, regs.R14, regs.R15,
	})
	s := Stepper{GoStack: func() (uint64, bool) {
		v := regs.Fs_base - 8
		for _, off := range []uint64{0, 48, 0, 56} { // g, g.m, m.g0, g.sched.sp
			var ok bool
			if v, ok = p.Uint64(v + off); !ok {
				return 0, false
			}
		}
		return v, true
	}}
	return p.unwindFrom(s, r)
}

// atTrap reports whether the next instruction is int3.
func (p *process) atTrap(tid int) bool {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &regs); err != nil {
		p.t.Fatal(err)
	}
	v, ok := p.Uint64(regs.Rip)
	return ok && v&0xff == 0xcc
}
