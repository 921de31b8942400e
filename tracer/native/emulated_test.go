// SPDX-License-Identifier: Apache-2.0

//go:build linux

package native

import (
	"bufio"
	"encoding/binary"
	text "encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/support/skip"
)

// emulated is an arm64 program that runs in an emulator of user space, which this
// program controls by the protocol of gdb. The emulator maps the program where the
// program thinks that it is, so that its memory is read as that of any process.
type emulated struct {
	t    *testing.T
	pid  int
	conn net.Conn
	in   *bufio.Reader
}

// startEmulated starts a program that stops before its first instruction.
func startEmulated(t *testing.T, path string) *emulated {
	t.Helper()
	qemu := ""
	for _, name := range []string{"qemu-aarch64-static", "qemu-aarch64"} {
		if p, err := exec.LookPath(name); err == nil {
			qemu = p
			break
		}
	}
	if qemu == "" {
		skip.Because(t, "needs qemu-user-static")
	}
	l := filepath.Join(t.TempDir(), "gdb")
	cmd := exec.Command(qemu, "-L", "/usr/aarch64-linux-gnu", "-cpu", "max", "-g", l, path) //nolint:gosec // a test program
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	e := &emulated{t: t, pid: cmd.Process.Pid}
	for e.conn == nil { // the emulator makes the socket when it is ready
		var err error
		if e.conn, err = net.Dial("unix", l); err != nil {
			if _, gone := os.Readlink(fmt.Sprintf("/proc/%d/exe", e.pid)); gone != nil {
				t.Fatal("the emulator ended")
			}
			runtime.Gosched()
		}
	}
	t.Cleanup(func() { _ = e.conn.Close() })
	e.in = bufio.NewReader(e.conn)
	e.ask("?")
	return e
}

// ask sends a request and returns the answer.
func (e *emulated) ask(request string) string {
	e.t.Helper()
	sum := uint8(0)
	for i := range len(request) {
		sum += request[i]
	}
	if _, err := fmt.Fprintf(e.conn, "$%s#%02x", request, sum); err != nil {
		e.t.Fatal(err)
	}
	_, err := e.in.ReadString('$') // behind the acknowledgement
	if err != nil {
		e.t.Fatalf("%s: %v", request, err)
	}
	answer, err := e.in.ReadString('#')
	if err != nil {
		e.t.Fatalf("%s: %v", request, err)
	}
	_, _ = e.in.Discard(2)
	if _, err := e.conn.Write([]byte{'+'}); err != nil {
		e.t.Fatal(err)
	}
	return strings.TrimSuffix(answer, "#")
}

// registers returns those of the program.
func (e *emulated) registers() Registers {
	e.t.Helper()
	b, err := text.DecodeString(e.ask("g"))
	if err != nil || len(b) < 33*8 {
		e.t.Fatalf("%d bytes of registers, %v", len(b), err)
	}
	r := Registers{Leaf: true, Exact: true}
	for i := range r.GPR { // x0 to x30, sp
		r.GPR[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	r.PC, r.SP, r.FP = binary.LittleEndian.Uint64(b[8*32:]), r.GPR[arm64SP], r.GPR[arm64FP]
	r.LR = r.GPR[arm64LR] & armAddressMask
	return r
}

// runTo runs the program up to an address.
func (e *emulated) runTo(addr uint64) {
	e.t.Helper()
	at := fmt.Sprintf("0,%x,4", addr)
	if ok := e.ask("Z" + at); ok != "OK" {
		e.t.Fatalf("breakpoint: %q", ok)
	}
	if why := e.ask("c"); !strings.HasPrefix(why, "T05") {
		e.t.Fatalf("stopped by %q", why)
	}
	e.ask("z" + at)
}

// step runs an instruction, handing the program the signal that it stopped by last,
// and returns the next; "05" is none.
func (e *emulated) step(signal string) string {
	e.t.Helper()
	request := "vCont;s"
	if signal != "05" {
		request = "vCont;S" + signal
	}
	why := e.ask(request)
	if len(why) < 3 || why[0] != 'T' {
		e.t.Fatalf("stopped by %q", why)
	}
	return why[1:3]
}
