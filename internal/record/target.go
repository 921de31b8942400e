// SPDX-License-Identifier: Apache-2.0

package record

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/libpf"
)

// processes are running processes that can be waited for. They are held by
// file descriptors, so that PIDs which are used again do no harm.
type processes struct{ fds []unix.PollFd }

// openProcesses finds processes. The error says which one does not exist.
func openProcesses(pids []libpf.PID) (*processes, error) {
	p := &processes{}
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(int(pid), 0)
		if err != nil {
			p.close()
			if thread := threadOf(pid); thread != "" {
				return nil, fmt.Errorf("-p: %d is a thread of process %s: use -p %s", pid, thread, thread)
			}
			if errors.Is(err, unix.ESRCH) {
				return nil, fmt.Errorf("-p: there is no process %d", pid)
			}
			return nil, fmt.Errorf("-p: open process %d: %w", pid, err)
		}
		p.fds = append(p.fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}) //nolint:gosec // a descriptor
	}
	return p, nil
}

// threadOf returns the ID of the process that a thread other than its first
// belongs to, "" for anything else.
func threadOf(pid libpf.PID) string {
	b, err := os.ReadFile("/proc/" + strconv.FormatUint(uint64(pid), 10) + "/status")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if tgid, ok := strings.CutPrefix(line, "Tgid:"); ok {
			if tgid = strings.TrimSpace(tgid); tgid != strconv.FormatUint(uint64(pid), 10) {
				return tgid
			}
		}
	}
	return ""
}

func (p *processes) close() {
	for _, fd := range p.fds {
		_ = unix.Close(int(fd.Fd)) // only waited on
	}
}

// pollInterval bounds how long the end of ctx goes unnoticed in a poll.
const pollInterval = 100 * time.Millisecond

// wait returns when all processes have ended or ctx has.
func (p *processes) wait(ctx context.Context) {
	for len(p.fds) > 0 && ctx.Err() == nil {
		if _, err := unix.Poll(p.fds, int(pollInterval.Milliseconds())); err != nil && !errors.Is(err, unix.EINTR) {
			<-ctx.Done() // cannot tell; the user has to
			return
		}
		running := p.fds[:0]
		for _, fd := range p.fds {
			if fd.Revents != 0 {
				_ = unix.Close(int(fd.Fd)) // only waited on
				continue
			}
			running = append(running, fd)
		}
		p.fds = running
	}
}

// command is a command that was started and stands still before its first
// instruction, until it is released.
type command struct {
	cmd *exec.Cmd
	// gate is closed to release the command.
	gate chan struct{}
	// detached is closed when the command runs on its own.
	detached chan struct{}
	released bool
	ended    chan struct{}
	err      error
}

// startCommand starts a command under ptrace, which stops it at the end of the
// exec. Where that is forbidden the command runs at once, and its first
// milliseconds are missing from the profile.
func startCommand(args []string) (*command, error) {
	c := &command{gate: make(chan struct{}), detached: make(chan struct{}), ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		// All of ptrace must come from the thread that started the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(c.detached)
		held, err := c.start(args)
		started <- err
		if err != nil || !held {
			return
		}
		<-c.gate
		if err := unix.PtraceDetach(c.cmd.Process.Pid); err != nil && !errors.Is(err, unix.ESRCH) {
			_ = c.cmd.Process.Kill() // it would stand still for ever
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start command: %w", err)
	}
	go func() {
		defer close(c.ended)
		<-c.detached
		c.err = c.cmd.Wait()
	}()
	return c, nil
}

// start starts the child, held if possible.
func (c *command) start(args []string) (held bool, err error) {
	for _, held := range []bool{true, false} {
		c.cmd = exec.Command(args[0], args[1:]...) //nolint:gosec // the user's own command
		c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		c.cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: held}
		if err = c.cmd.Start(); err != nil {
			continue
		}
		if held {
			var status unix.WaitStatus
			for {
				_, err = unix.Wait4(c.cmd.Process.Pid, &status, 0, nil)
				if !errors.Is(err, unix.EINTR) {
					break
				}
			}
			if err != nil {
				return false, fmt.Errorf("wait for %s to start: %w", args[0], err)
			}
			// Not stopped means that something killed it already, which Wait tells.
			return status.Stopped(), nil
		}
		return held, nil
	}
	return false, err
}

func (c *command) pid() libpf.PID { return libpf.PID(c.cmd.Process.Pid) } //nolint:gosec // a PID

// release lets the command run.
func (c *command) release() {
	if !c.released {
		c.released = true
		close(c.gate)
	}
}

// How long a command has to end after SIGTERM.
const commandGrace = 5 * time.Second

// over reports whether the command has ended, also when nobody has waited for it yet.
func (c *command) over() bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, c.cmd.Process.Pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err != nil || info.Signo != 0
}

// stop ends the command if it still runs, and waits for it. It returns the exit
// status as a shell would show it, 0 for a command that had to be ended.
func (c *command) stop(askPolitely bool) int {
	if !askPolitely {
		_ = c.cmd.Process.Kill() // it may have ended
	}
	c.release()
	if askPolitely && c.over() {
		<-c.ended // its status is about to be read
	}
	select {
	case <-c.ended:
	default:
		_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		timer := time.AfterFunc(commandGrace, func() { _ = c.cmd.Process.Kill() })
		<-c.ended
		timer.Stop()
		return 0
	}
	status, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return c.cmd.ProcessState.ExitCode()
}
