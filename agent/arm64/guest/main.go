// SPDX-License-Identifier: Apache-2.0

// Command guest runs in an emulated machine: it starts programs with known stacks, a
// few at a time, records them with the agent, and ends them.
//
//	guest ROUNDS DIR AGENT [ARGUMENT...]
//
// ROUNDS is a file with a list of lists of [Subject] in JSON: those of a list run at the
// same time. PIDs and a file in DIR, one for each round, are added to the agent's
// arguments.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Subject is a program to record.
type Subject struct {
	Args []string
	Env  []string
	// Says is set of programs that write "runs" when they begin with what is known of
	// them. Before it they start a runtime, which takes an emulated CPU many seconds.
	Says bool
	// Warm is how many seconds a program runs then before it is recorded.
	Warm float64
}

// An emulated machine is slow, and the agent one of many that want its CPUs.
const niceOfAgent, niceOfSubjects = -15, 5

// patience is how long a subject may take to begin. One that does not is recorded all
// the same: the judge says what is missing.
const patience = 5 * time.Minute

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 3 {
		return errors.New("usage: guest ROUNDS DIR AGENT [ARGUMENT...]")
	}
	b, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	var rounds [][]Subject
	if err := json.Unmarshal(b, &rounds); err != nil {
		return fmt.Errorf("read %s: %w", args[0], err)
	}
	if err := os.MkdirAll(args[1], 0o755); err != nil { //nolint:gosec // no secret
		return err
	}
	var failed []error
	for i, subjects := range rounds {
		out := filepath.Join(args[1], fmt.Sprintf("%02d.folded", i))
		if err := round(subjects, append(args[2:len(args):len(args)], "-o", out)); err != nil {
			failed = append(failed, fmt.Errorf("round %d: %w", i, err))
		}
	}
	return errors.Join(failed...)
}

// round records subjects that run at the same time.
func round(subjects []Subject, agent []string) error {
	begin := time.Now()
	pids := make([]string, 0, len(subjects))
	begun := make([]<-chan struct{}, 0, len(subjects))
	var warm float64
	for _, s := range subjects {
		pid, c, err := start(s)
		if err != nil {
			return fmt.Errorf("start %s: %w", strings.Join(s.Args, " "), err)
		}
		defer kill(pid)
		pids, begun, warm = append(pids, strconv.Itoa(pid)), append(begun, c), max(warm, s.Warm)
	}
	late := time.After(patience)
	for i, c := range begun {
		select {
		case <-c:
		case <-late:
			fmt.Printf("subject %s did not begin in %v\n", subjects[i].Args[0], patience)
			late = time.After(0)
		}
	}
	if warm > 0 { // a subject changes by the clock, as its source says
		<-time.After(time.Duration(warm * float64(time.Second)))
	}
	cmd := exec.Command(agent[0], append(agent[1:], "-p", strings.Join(pids, ","))...) //nolint:gosec // named by the caller
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	waited := time.Since(begin)
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := syscall.Setpriority(syscall.PRIO_PROCESS, cmd.Process.Pid, niceOfAgent); err != nil {
		return fmt.Errorf("nice: %w", err)
	}
	err := cmd.Wait()
	for _, s := range subjects {
		fmt.Printf("%s ", filepath.Base(s.Args[0]))
	}
	fmt.Printf("began in %.0f s; agent: %.0f s, of which %.1f s of CPU\n", waited.Seconds(), (time.Since(begin) - waited).Seconds(),
		(cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds())
	return err
}

// start starts a subject in a session of its own, so that kill ends its children too.
// The channel is closed when the subject has begun, or has ended.
func start(s Subject) (pid int, begun <-chan struct{}, err error) {
	c := make(chan struct{})
	cmd := exec.Command(s.Args[0], s.Args[1:]...) //nolint:gosec // named by the caller
	cmd.Env = append(os.Environ(), s.Env...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	r, w, err := os.Pipe()
	if err != nil {
		return 0, nil, err
	}
	cmd.Stdout = w
	if err := errors.Join(cmd.Start(), w.Close()); err != nil {
		return 0, nil, errors.Join(err, r.Close())
	}
	go func() {
		lines := bufio.NewScanner(r)
		for s.Says && lines.Scan() && lines.Text() != "runs" {
			fmt.Printf("subject %s: %s\n", s.Args[0], lines.Text())
		}
		close(c)
		for lines.Scan() {
			fmt.Printf("subject %s: %s\n", s.Args[0], lines.Text())
		}
		if err := cmd.Wait(); cmd.ProcessState.Exited() {
			fmt.Printf("subject %s ended: %v\n", s.Args[0], err)
		}
	}()
	return cmd.Process.Pid, c, syscall.Setpriority(syscall.PRIO_PROCESS, cmd.Process.Pid, niceOfSubjects)
}

func kill(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }
