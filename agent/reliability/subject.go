// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// childVar makes this program one that another instance of it needs.
const childVar = "STROBE_RELIABILITY_CHILD"

// runAsChild runs what the variable asks for, and reports whether there was something.
func runAsChild() bool {
	what := os.Getenv(childVar)
	switch what {
	case "":
		return false
	case childSpool:
		fillSpool()
	default:
		threads, err := strconv.Atoi(what)
		if err != nil {
			threads = 1
		}
		for i := range threads - 1 {
			go burn(uint64(i) + 1) //nolint:gosec // small
		}
		burn(0)
	}
	return true
}

// subject is a program that is busy and has thousands of different stacks, which repeat.
type subject struct {
	path string
	cmd  *exec.Cmd
}

// newSubject copies this program to where only the subject runs from.
func newSubject(dir string) (*subject, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	s := &subject{path: filepath.Join(dir, "reliability-subject")}
	return s, copyProgram(self, s.path)
}

func copyProgram(from, to string) (err error) {
	in, err := os.Open(from) //nolint:gosec // this program
	if err != nil {
		return err
	}
	defer in.Close()                                                      //nolint:errcheck // read only
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o700) //nolint:gosec // a program
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		_ = out.Close()
		return fmt.Errorf("copy this program: %w", err)
	}
	return out.Close()
}

// start makes it busy on a number of threads.
func (s *subject) start(threads int) error {
	s.cmd = exec.Command(s.path) //nolint:gosec // our copy
	s.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", childVar, threads))
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start the subject: %w", err)
	}
	return nil
}

// stop ends it. It may be called again.
func (s *subject) stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait() // killed, as asked
	s.cmd = nil
}

var sink [64]float64

// stacks is how many different stacks a thread has: those of a real program repeat.
const stacks = 1500

// burn never returns. The bits of a scrambled number choose the functions on the stack.
func burn(lane uint64) {
	for n := lane; ; n += 7 {
		k := n % stacks
		left(&sink[lane%64], k*0x9e3779b97f4a7c15>>32, 1+k%23)
	}
}

//go:noinline
func left(to *float64, way, depth uint64) { descend(to, way, depth) }

//go:noinline
func right(to *float64, way, depth uint64) { descend(to, way, depth) }

//go:noinline
func middle(to *float64, way, depth uint64) { descend(to, way, depth) }

func descend(to *float64, way, depth uint64) {
	switch {
	case depth == 0:
		for i := range 20_000 {
			*to += math.Sqrt(float64(i))
		}
	case way%3 == 0:
		left(to, way/3, depth-1)
	case way%3 == 1:
		right(to, way/3, depth-1)
	default:
		middle(to, way/3, depth-1)
	}
}
