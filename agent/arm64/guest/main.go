// SPDX-License-Identifier: Apache-2.0

// Command guest runs in an emulated machine: it starts programs with known stacks, and
// records them with the agent, a few of them at a time.
//
//	guest ROUNDS DURATION AGENT [ARGUMENT...]
//
// ROUNDS is a file with a list of lists of [Subject] in JSON: those of a list run at the
// same time, for the duration, while all others are stopped. One agent records them all,
// because its own start takes an emulated CPU minutes. PIDs are added to its arguments,
// and -v: its log says when it samples.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

const (
	// patience is how long a subject may take to begin, and the agent to sample. A
	// subject that does not is recorded all the same: the judge says what is missing.
	patience = 5 * time.Minute
	// settling is how long a program runs at least before it is recorded, in seconds: the
	// loader's work and the start of the C library are not what is judged.
	settling = 1
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 3 {
		return errors.New("usage: guest ROUNDS DURATION AGENT [ARGUMENT...]")
	}
	b, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	var rounds [][]Subject
	if err := json.Unmarshal(b, &rounds); err != nil {
		return fmt.Errorf("read %s: %w", args[0], err)
	}
	d, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	groups := make([][]int, 0, len(rounds))
	for _, subjects := range rounds {
		pids, err := prepare(subjects)
		for _, pid := range pids {
			defer signal(pid, syscall.SIGKILL)
		}
		if err != nil {
			return err
		}
		groups = append(groups, pids)
	}
	return record(groups, d, args[2:])
}

// prepare starts subjects, and stops them when all have begun.
func prepare(subjects []Subject) (pids []int, err error) {
	begin, warm := time.Now(), float64(settling)
	var begun []<-chan struct{}
	for _, s := range subjects {
		pid, c, err := start(s)
		if err != nil {
			return pids, fmt.Errorf("start %s: %w", strings.Join(s.Args, " "), err)
		}
		pids, begun, warm = append(pids, pid), append(begun, c), max(warm, s.Warm)
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
	// A subject may change by the clock, as its source says.
	<-time.After(time.Duration(warm * float64(time.Second)))
	for i, pid := range pids {
		signal(pid, syscall.SIGSTOP)
		fmt.Printf("%s ", filepath.Base(subjects[i].Args[0]))
	}
	fmt.Printf("began in %.0f s\n", time.Since(begin).Seconds())
	return pids, nil
}

// start starts a subject in a session of its own, so that signals reach its children
// too. The channel is closed when the subject has begun, or has ended.
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

// record lets one group of subjects after the other run, for a time each, while the
// agent samples.
func record(groups [][]int, d time.Duration, args []string) error {
	var pids []string
	for _, group := range groups {
		for _, pid := range group {
			pids = append(pids, strconv.Itoa(pid))
		}
	}
	cmd := exec.Command(args[0], append(args[1:], "-v", "-p", strings.Join(pids, ","))...) //nolint:gosec // named by the caller
	cmd.Stdout = os.Stdout
	said, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	samples, read := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(read)
		relay(said, func() { close(samples) })
	}()
	err = syscall.Setpriority(syscall.PRIO_PROCESS, cmd.Process.Pid, niceOfAgent)
	select {
	case <-samples:
		fmt.Printf("the agent samples after %.0f s\n", time.Since(begin).Seconds())
		for _, group := range groups {
			for _, pid := range group {
				signal(pid, syscall.SIGCONT)
			}
			<-time.After(d)
			for _, pid := range group {
				signal(pid, syscall.SIGSTOP)
			}
		}
	case <-read: // it has ended
	case <-time.After(patience):
		err = errors.Join(err, fmt.Errorf("the agent does not sample after %v", patience))
	}
	_ = cmd.Process.Signal(syscall.SIGINT)
	<-read
	err = errors.Join(err, cmd.Wait())
	fmt.Printf("agent: %.0f s, of which %.1f s of CPU\n", time.Since(begin).Seconds(),
		(cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds())
	return err
}

// relay passes on what the agent says, but for its details, and calls sampling once,
// when it says that it samples.
func relay(r io.Reader, sampling func()) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		line := lines.Text()
		if strings.Contains(line, "msg=sampling ") && sampling != nil {
			sampling()
			sampling = nil
		}
		if !strings.Contains(line, "level=DEBUG") {
			fmt.Println(line)
		}
	}
}

// signal sends a signal to a subject and its children.
func signal(pid int, s syscall.Signal) { _ = syscall.Kill(-pid, s) }
