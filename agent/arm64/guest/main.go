// SPDX-License-Identifier: Apache-2.0

// Command guest runs in an emulated machine: it starts programs with known stacks,
// all at the same time, records them with one agent, and ends them.
//
//	guest SUBJECTS AGENT [ARGUMENT...]
//
// SUBJECTS is a file with a list of [Subject] in JSON. The agent's PIDs are added to
// its arguments.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Subject is a program to record.
type Subject struct {
	Args []string
	Env  []string
}

// An emulated machine is slow, and the agent one of many that want its CPUs.
const niceOfAgent, niceOfSubjects = -15, 5

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: guest SUBJECTS AGENT [ARGUMENT...]")
	}
	b, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	var subjects []Subject
	if err := json.Unmarshal(b, &subjects); err != nil {
		return fmt.Errorf("read %s: %w", args[0], err)
	}
	pids := make([]string, 0, len(subjects))
	for _, s := range subjects {
		pid, err := start(s)
		if err != nil {
			return fmt.Errorf("start %s: %w", strings.Join(s.Args, " "), err)
		}
		defer kill(pid)
		pids = append(pids, strconv.Itoa(pid))
	}
	agent := exec.Command(args[1], append(args[2:], "-p", strings.Join(pids, ","))...) //nolint:gosec // named by the caller
	agent.Stdout, agent.Stderr = os.Stdout, os.Stderr
	begin := time.Now()
	if err := agent.Start(); err != nil {
		return err
	}
	if err := syscall.Setpriority(syscall.PRIO_PROCESS, agent.Process.Pid, niceOfAgent); err != nil {
		return fmt.Errorf("nice: %w", err)
	}
	err = agent.Wait()
	fmt.Printf("agent: %.0f s, of which %.1f s of CPU\n", time.Since(begin).Seconds(),
		(agent.ProcessState.UserTime() + agent.ProcessState.SystemTime()).Seconds())
	return err
}

// start starts a subject in a session of its own, so that kill ends its children too.
func start(s Subject) (int, error) {
	cmd := exec.Command(s.Args[0], s.Args[1:]...) //nolint:gosec // named by the caller
	cmd.Env = append(os.Environ(), s.Env...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	go func() {
		if err := cmd.Wait(); cmd.ProcessState.Exited() {
			fmt.Printf("subject %s ended: %v\n", s.Args[0], err)
		}
	}()
	return cmd.Process.Pid, syscall.Setpriority(syscall.PRIO_PROCESS, cmd.Process.Pid, niceOfSubjects)
}

func kill(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }
