// SPDX-License-Identifier: Apache-2.0

package clickhousetest

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// process is a program that ends with this one, however that is.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// start starts a program. What it prints is added to the file log.
func start(t testing.TB, log string, cmd *exec.Cmd) *process {
	t.Helper()
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatalf("make the log of a server: %v", err)
	}
	defer out.Close() //nolint:errcheck // the program has its own
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p := &process{cmd: cmd, ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel sends the signal when the thread ends that started the program.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended matters to nobody
			close(p.ended)
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("start %s: %v", filepath.Base(cmd.Path), err)
	}
	return p
}

// kill ends the program with SIGKILL and waits for its end.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}

// running reports whether the program has not ended.
func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// await waits until ready returns nil. The program must not end in the meantime.
func (p *process) await(t testing.TB, what, log string, ready func() error) {
	t.Helper()
	deadline := time.Now().Add(90 * time.Second)
	for {
		err := ready()
		if err == nil {
			return
		}
		if !p.running() || time.Now().After(deadline) {
			t.Fatalf("%s does not answer (running: %v): %v\n%s", what, p.running(), err, tail(log))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// tail returns the end of a log.
func tail(log string) string {
	const most = 8 << 10
	b, err := os.ReadFile(log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(len(b)-most, 0):])
}

// showLogs prints the ends of logs when the test has failed.
func showLogs(t testing.TB, logs ...string) {
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		for _, log := range logs {
			if s := tail(log); s != "" {
				t.Logf("end of %s:\n%s", filepath.Base(log), s)
			}
		}
	})
}

// portOf returns the port of an address.
func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address) // one of ours
	return port
}
