// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/tracer/tracertest"
)

// inGuest does what the plan says and writes the report. Its own errors are those of
// the harness; what the kernel cannot do is in the report.
func inGuest() error {
	var p plan
	b, err := os.ReadFile(planFile)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return err
	}
	if err := os.MkdirAll(logDir, 0o755); err != nil { //nolint:gosec // a guest
		return err
	}
	for _, dir := range p.Hide {
		if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("hide %s: %w", dir, err)
		}
	}
	r := &report{Has: map[string]bool{}, Subjects: map[string]string{}, Samples: map[string]int{}}
	if err := r.doctor(); err != nil {
		return err
	}
	r.try()
	if p.Cannot == "" {
		// What the agent is for comes first, its parts after.
		for _, s := range p.Subjects {
			r.subject(s)
		}
		r.pipe()
		for _, t := range p.Tests {
			r.tests(t)
		}
	}
	b, err = json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(reportFile, b, 0o644) //nolint:gosec // a guest
}

// run runs a program and returns what it says; the log keeps it.
func run(limit time.Duration, name string, args ...string) (stdout, stderr string, cpu time.Duration, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // ours
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	err = cmd.Run()
	if ctx.Err() != nil {
		err = fmt.Errorf("no end after %v", limit)
	}
	if cmd.ProcessState != nil {
		cpu = cmd.ProcessState.SystemTime() + cmd.ProcessState.UserTime()
	}
	text := fmt.Sprintf("$ %s %s\n%s%s%v\n", filepath.Base(name), strings.Join(args, " "), messages.String(), out.String(), err)
	f, ferr := os.OpenFile(filepath.Join(logDir, filepath.Base(name)+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644) //nolint:gosec // a guest
	if ferr == nil {
		_, _ = f.WriteString(text)
		_ = f.Close()
	}
	return out.String(), messages.String(), cpu, err
}

const (
	bin   = "/usr/local/bin/"
	agent = bin + "agent"
)

func (r *report) doctor() error {
	out, messages, _, err := run(time.Minute, agent, "doctor", "-o", "json")
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return fmt.Errorf("agent doctor: %w: %s", err, messages)
	}
	var d struct {
		CanProfile   bool   `json:"can_profile"`
		Verdict      string `json:"verdict"`
		Capabilities []struct {
			Name string
			OK   bool
		} `json:"capabilities"`
	}
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		return fmt.Errorf("agent doctor: %w: %.300s%.300s", err, out, messages)
	}
	r.Verdict, r.CanRun = d.Verdict, d.CanProfile
	if d.CanProfile != (err == nil) {
		return fmt.Errorf("agent doctor: it can profile: %v, and yet: %w", d.CanProfile, err)
	}
	for _, c := range d.Capabilities {
		r.Has[c.Name] = c.OK
	}
	text, _, _, _ := run(time.Minute, agent, "doctor")
	r.Doctor = text
	return nil
}

var (
	eventRE   = regexp.MustCompile(`\bevent"?[=:]"?([\w-]+)`)
	followsRE = regexp.MustCompile(`\bprocess_discovery"?[=:]"?([\w-]+)`)
)

// try profiles the whole guest for a moment, and notes which hooks were chosen.
func (r *report) try() {
	_, messages, cpu, err := run(3*time.Minute, agent, "record", "-a", "-v", "-d", "1s", "-o", "/run/all.folded")
	if err != nil {
		r.Refusal = strings.TrimSpace(messages)
		return
	}
	r.LoadCPU = cpu.Seconds()
	if m := eventRE.FindStringSubmatch(messages); m != nil {
		r.Event = m[1]
	}
	if m := followsRE.FindStringSubmatch(messages); m != nil {
		r.Follows = m[1]
	}
}

// subject runs a program with known stacks, records and judges it.
func (r *report) subject(s subject) {
	n, err := r.judged(s)
	r.Samples[s.Name], r.Subjects[s.Name] = n, ""
	if err != nil {
		r.Subjects[s.Name] = err.Error()
	}
	fmt.Printf("subject %s: %d samples %v\n", s.Name, n, err)
}

func (r *report) judged(s subject) (samples int, err error) {
	all, err := tracertest.Expectations()
	if err != nil {
		return 0, err
	}
	e := all[s.Name]
	if e == nil {
		return 0, errors.New("nothing is expected of it")
	}
	cmd := exec.Command(s.Command[0], append(s.Command[1:], "300")...) //nolint:gosec // of the plan
	stop, err := begun(cmd, s.Says)
	if err != nil {
		return 0, err
	}
	defer stop()
	time.Sleep(time.Duration((e.Warm + 2) * float64(time.Second)))
	path := "/run/" + s.Name + ".folded"
	if _, messages, _, err := run(4*time.Minute, agent, "record", "-p", strconv.Itoa(cmd.Process.Pid), "-d", "8s", "-F", "99", "-format", "folded", "-o", path); err != nil {
		return 0, fmt.Errorf("agent record: %w: %.300s", err, messages)
	}
	f, err := os.Open(path) //nolint:gosec // just written
	if err != nil {
		return 0, err
	}
	defer f.Close() //nolint:errcheck // read only
	j, err := tracertest.Judge(e, f)
	if err == nil && len(j.Problems) > 0 {
		err = errors.New(strings.Join(j.Problems, "; "))
		_ = os.Rename(path, filepath.Join(logDir, s.Name+".folded"))
	}
	return j.Samples, err
}

// begun starts a program and waits until it says that its own functions begin: an emulated
// CPU is slow to get a runtime going, and slower on a busy host.
func begun(cmd *exec.Cmd, says string) (stop func(), err error) {
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	if says == "" {
		return stop, cmd.Start()
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	const patience = 4 * time.Minute
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if lines.Text() == says {
			return stop, nil
		}
	}
	stop()
	return nil, fmt.Errorf("it ended, or was ended after %v, before it said %q", patience, says)
}

var (
	resultRE = regexp.MustCompile(`(?m)^\s*--- (PASS|FAIL|SKIP): (\S+)`)
	memoryRE = regexp.MustCompile(`\bmemory in (a cgroup v\d of .+)`)
	insnsRE  = regexp.MustCompile(`(\d+) instructions, verified in (\d+) µs`)
)

// tests runs a compiled package of tests and counts.
func (r *report) tests(t test) {
	args := []string{"-test.v", "-test.timeout", "8m"}
	if t.Run != "" {
		args = append(args, "-test.run", t.Run)
	}
	if t.Skip != "" {
		args = append(args, "-test.skip", t.Skip)
	}
	out, _, _, err := run(9*time.Minute, bin+t.Binary, append(args, t.Args...)...)
	failed := 0
	for _, m := range resultRE.FindAllStringSubmatch(out, -1) {
		name := strings.TrimSuffix(t.Binary, ".test") + "." + m[2]
		switch m[1] {
		case "PASS":
			r.Passed++
		case "SKIP":
			r.Skipped = append(r.Skipped, name)
		default:
			failed++
			r.Failed = append(r.Failed, name)
		}
	}
	if err != nil && failed == 0 {
		r.Failed = append(r.Failed, t.Binary+": "+err.Error())
	}
	for _, m := range insnsRE.FindAllStringSubmatch(out, -1) {
		n, _ := strconv.Atoi(m[1])
		usec, _ := strconv.Atoi(m[2])
		r.Instructions += n
		r.VerifierUsec += usec
	}
	for _, m := range memoryRE.FindAllStringSubmatch(out, -1) {
		r.Memory = append(r.Memory, m[1])
	}
	fmt.Printf("%s: %d passed, failed %v, %v\n", t.Binary, r.Passed, r.Failed, err)
}

// pipe runs agent and collection agent, and asks for a function that must be there.
func (r *report) pipe() {
	if err := r.piped(); err != nil {
		r.Pipe = err.Error()
	}
	fmt.Printf("pipe: %q\n", r.Pipe)
}

// wholeRE is a stack of the subject from main to a function that it calls.
var wholeRE = regexp.MustCompile(`(?m)(^|;)main;.*blue_leaf`)

func (r *report) piped() error {
	const api = "http://127.0.0.1:7070"
	busy := exec.Command(bin+"c_o2", "300")
	server := exec.Command(bin+"collectionagent", "-data-dir", "/run/data")
	profiler := exec.Command(agent, "-samples-per-second", "49", "-reporter-interval", "1s", "-spool-dir", "off")
	for _, cmd := range []*exec.Cmd{busy, server, profiler} {
		log, err := os.Create(filepath.Join(logDir, "pipe-"+filepath.Base(cmd.Path)+".log"))
		if err != nil {
			return err
		}
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Start(); err != nil {
			return err
		}
		defer func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			_ = log.Close()
		}()
	}
	query := api + "/api/v1/folded?" + url.Values{"query": {`{service="c_o2"}`}, "from": {"now-10m"}}.Encode()
	last := ""
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(time.Second) {
		resp, err := http.Get(query) //nolint:gosec,noctx // this guest's own server
		if err != nil {
			last = err.Error()
			continue
		}
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		last = string(b)
		if resp.StatusCode == http.StatusOK && wholeRE.Match(b) {
			return nil
		}
	}
	return fmt.Errorf("the subject's stacks did not arrive: %.300s", last)
}
