// SPDX-License-Identifier: Apache-2.0

package restricted

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/strobe-profiler/strobe/support/skip"
)

// Features of the agent, each judged on a program of its own.
const (
	native   = "native"   // functions of an executable
	python   = "python"   // functions of an interpreter
	kernel   = "kernel"   // functions of the kernel
	deleted  = "deleted"  // of an executable that was deleted
	private  = "private"  // of one that only its owner may read
	identity = "identity" // what the program says of itself in its environment
	name     = "name"     // the name of the process, by its number
)

var everything = []string{native, python, kernel, deleted, private, identity, name}

// without returns everything but some.
func without(features ...string) []string {
	var out []string
	for _, f := range everything {
		if !slices.Contains(features, f) {
			out = append(out, f)
		}
	}
	return out
}

// subjects are programs that run as long as the tests do, by the feature they are for.
type subjects map[string]int

var (
	subjectsOnce sync.Once
	started      subjects
	stopSubjects []func()
)

const pythonSource = `
def burn_python():
    n = 0
    for i in range(100000):
        n += i * i
    return n
print("started", flush=True)
while True:
    burn_python()
`

// startSubjects starts them once, for all tests.
func startSubjects(t *testing.T) subjects {
	t.Helper()
	skip.UnlessRoot(t)
	const interpreter = "/usr/bin/python3" // which all users may read
	if _, err := os.Stat(interpreter); err != nil {
		skip.Because(t, "needs "+interpreter)
	}
	subjectsOnce.Do(func() {
		started = subjects{}
		dir := filepath.Dir(agent)
		self := filepath.Join(dir, "readable")
		copyFile(t, os.Args[0], self, 0o755)
		started[native] = startSubject(t, &exec.Cmd{Path: self, Env: []string{burnVar + "=1", "OTEL_SERVICE_NAME=restricted-subject"}})
		started[python] = startSubject(t, &exec.Cmd{Path: interpreter, Args: []string{"python3", "-c", pythonSource}})
		started[kernel] = startSubject(t, &exec.Cmd{Path: "/bin/dd", Args: []string{"dd", "if=/dev/zero", "of=/dev/null", "bs=4M"}})
		gone := filepath.Join(dir, "deleted")
		copyFile(t, self, gone, 0o755)
		started[deleted] = startSubject(t, &exec.Cmd{Path: gone, Env: []string{burnVar + "=1"}})
		if err := os.Remove(gone); err != nil {
			t.Fatal(err)
		}
		const owner = 54321
		hidden := filepath.Join(dir, "private")
		if err := os.Mkdir(hidden, 0o700); err != nil {
			t.Fatal(err)
		}
		copyFile(t, self, filepath.Join(hidden, "program"), 0o500)
		for _, path := range []string{hidden, filepath.Join(hidden, "program")} {
			if err := os.Chown(path, owner, owner); err != nil {
				t.Fatal(err)
			}
		}
		started[private] = startSubject(t, &exec.Cmd{
			Path: filepath.Join(hidden, "program"), Env: []string{burnVar + "=1"}, Dir: "/",
			SysProcAttr: &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner, Gid: owner}},
		})
	})
	return started
}

func startSubject(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	if cmd.Args == nil {
		cmd.Args = []string{cmd.Path}
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	var out io.Reader
	if slices.Contains(cmd.Args, "-c") {
		var err error
		if out, err = cmd.StdoutPipe(); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopSubjects = append(stopSubjects, func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if out != nil {
		if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	return cmd.Process.Pid
}

func copyFile(t *testing.T, from, to string, mode os.FileMode) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, mode); err != nil {
		t.Fatal(err)
	}
}

// measure profiles the subjects and returns the features that work. It fails the test when
// something has the name of something else.
func (s subjects) measure(t *testing.T, r *restriction) (features []string, messages string) {
	t.Helper()
	var pids []string
	for _, pid := range s {
		pids = append(pids, strconv.Itoa(pid))
	}
	// Long enough for tables to be loaded in a small part of it, also where the agent gets little CPU.
	got := r.run(t, "record", "-p", strings.Join(pids, ","), "-d", "8s", "-F", "599", "-format", "pprof", "-o", "-")
	if got.status != 0 {
		t.Fatalf("status %d\n%s", got.status, got.stderr)
	}
	p, err := profile.Parse(strings.NewReader(got.stdout))
	if err != nil {
		t.Fatalf("%v\n%s", err, got.stderr)
	}
	with, total := map[string]int64{}, map[int]int64{}
	for _, sample := range p.Sample {
		pid, _ := strconv.Atoi(strings.Join(sample.Label["pid"], ""))
		n := sample.Value[0]
		total[pid] += n
		functions := functionsOf(sample)
		for feature, function := range map[string]string{native: "burnInner", deleted: "burnInner", private: "burnInner", python: "burn_python", kernel: "vfs_read"} {
			if pid == s[feature] && strings.Contains(functions, function) {
				with[feature] += n
			}
		}
		if pid == s[native] && slices.Contains(sample.Label["service"], "restricted-subject") {
			with[identity] += n
		}
		if pid == s[kernel] && slices.Contains(sample.Label["process"], "dd") {
			with[name] += n
		}
	}
	for _, feature := range everything {
		of := feature
		switch feature {
		case identity:
			of = native
		case name:
			of = kernel
		}
		if total[s[of]] < 8 {
			t.Fatalf("%s has %d samples\n%s", feature, total[s[of]], got.stderr)
		}
		// The first samples of a program are taken before its tables are loaded.
		if part := float64(with[feature]) / float64(total[s[of]]); part > 0.5 {
			features = append(features, feature)
		} else if part > 0.1 {
			t.Errorf("%s: in %.0f %% of %d samples", feature, part*100, total[s[of]])
		}
	}
	return features, got.stderr
}

func functionsOf(s *profile.Sample) string {
	var b bytes.Buffer
	for _, l := range s.Location {
		for _, line := range l.Line {
			fmt.Fprintln(&b, line.Function.Name)
		}
	}
	return b.String()
}
