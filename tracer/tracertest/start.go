// SPDX-License-Identifier: Apache-2.0

package tracertest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// Ready is a subject that was built and can be started.
type Ready struct {
	name string
	// path is that of the program that the process becomes.
	path      string
	args, env []string
	// says is set for programs that write "runs" when they begin with what is known of them.
	says bool
}

// Start builds a subject, or a variant of one ([Variants]), runs it for at most the given number of seconds, and
// returns its PID when it does what is known of it. It is ended with the test.
func Start(t testing.TB, name string, seconds int) int {
	t.Helper()
	return Prepare(t, name, seconds).Start(t)
}

// Prepare builds a subject that is to run for at most the given number of seconds. What was
// built before for the same binary of tests is taken again.
func Prepare(t testing.TB, name string, seconds int) *Ready {
	t.Helper()
	base, variant, _ := strings.Cut(name, "@")
	r := &Ready{name: name}
	if p, ok := programs()[base]; ok {
		r.says = true
		r.args = append(p.command(t, t.TempDir(), variant), strconv.Itoa(seconds))
		for strings.Contains(r.args[0], "=") && !strings.HasPrefix(r.args[0], "/") {
			r.env, r.args = append(r.env, r.args[0]), r.args[1:]
		}
		var err error
		if r.path, err = filepath.EvalSymlinks(r.args[0]); err != nil {
			t.Fatalf("subject %s: %v", name, err)
		}
		if filepath.Base(r.path) == "chroot" {
			r.path = r.args[2] // what it becomes
		}
		return r
	}
	if name == "c-deleted" {
		r.path = Build(t, name, t.TempDir()) // nobody else has what is removed
	} else {
		r.path = built(t)(once(t, name, func(dir string) (string, error) { return Compile(name, dir) }))
	}
	r.args = []string{r.path, strconv.Itoa(seconds)}
	if name == "c-chroot" {
		r.args = caged(t, r.path, seconds)
	}
	return r
}

// Start runs the subject, and returns its PID when it does what is known of it. It is ended
// with the test. Variables of the environment are those of the moment.
func (r *Ready) Start(t testing.TB) int {
	t.Helper()
	cmd := exec.Command("sh", append([]string{"-c", `echo started; exec "$@"`, "sh"}, r.args...)...) //nolint:gosec // a test program
	cmd.Env = append(os.Environ(), r.env...)
	complaints, err := os.Create(filepath.Join(t.TempDir(), "stderr")) //nolint:gosec // a test's folder
	if err != nil {
		t.Fatal(err)
	}
	defer complaints.Close() //nolint:errcheck // the program has its own
	cmd.Stderr = complaints
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{}) // when all that it says was read
	t.Cleanup(func() {
		// A server that the subject drives leaves its session, not its parent.
		children, _ := process.Descendants([]libpf.PID{libpf.PID(cmd.Process.Pid)}) //nolint:gosec // a PID
		_ = cmd.Process.Kill()
		for _, pid := range children {
			if p, err := os.FindProcess(int(pid)); err == nil {
				_ = p.Kill()
			}
		}
		_ = cmd.Wait()
		<-ended
		if b, err := os.ReadFile(complaints.Name()); err == nil && len(b) > 0 && t.Failed() {
			t.Logf("subject %s wrote on its standard error:\n%.2000s", r.name, b)
		}
	})
	said := bufio.NewReader(stdout)
	began := make(chan error, 1)
	go func() {
		defer close(ended)
		err := await(said, "started")
		if err == nil && r.says {
			err = await(said, "runs")
		}
		began <- err
		_, _ = io.Copy(io.Discard, said) // until its end: a full pipe would hold it
	}()
	select {
	case err = <-began:
	case <-time.After(limit):
		err = fmt.Errorf("it does not begin within %v", limit)
	}
	if err != nil {
		b, _ := os.ReadFile(complaints.Name())
		t.Fatalf("start subject %s: %v\n%q\n%.2000s", r.name, err, r.args, b)
	}
	waitFor(t, cmd.Process.Pid, r.path)
	if r.name == "c-deleted" {
		if err := os.Remove(r.path); err != nil {
			t.Fatal(err)
		}
	}
	return cmd.Process.Pid
}

// limit is how long a program may take to begin. It is that long because it is not what is
// tested: the disk may be cold, and others may have the CPUs.
const limit = 2 * time.Minute

// await reads lines until one is what is waited for. The error has what came instead.
func await(from *bufio.Reader, line string) error {
	var said strings.Builder
	for {
		s, err := from.ReadString('\n')
		if strings.TrimRight(s, "\r\n") == line && err == nil {
			return nil
		}
		if said.Len() < 2000 {
			said.WriteString(s)
		}
		if errors.Is(err, io.EOF) {
			err = errors.New("it ended")
		}
		if err != nil {
			return fmt.Errorf("it does not say %q: %w; it said %q", line, err, said.String())
		}
	}
}

// waitFor returns when the process has become the program.
func waitFor(t testing.TB, pid int, path string) {
	t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); {
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		if err != nil {
			t.Fatalf("subject ended at once: %v", err)
		}
		if filepath.Base(exe) == filepath.Base(path) {
			return
		}
		runtime.Gosched()
	}
	t.Fatalf("process %d does not become %s", pid, path)
}

// caged makes a root of its own for the program and its libraries, and returns
// the command that runs it there.
func caged(t testing.TB, path string, seconds int) []string {
	t.Helper()
	root := t.TempDir()
	libs, err := exec.Command("ldd", path).Output() //nolint:gosec // just built
	if err != nil {
		t.Fatalf("ldd %s: %v", path, err)
	}
	files := map[string]string{path: "/app/" + filepath.Base(path)}
	for field := range strings.FieldsSeq(string(libs)) {
		if strings.HasPrefix(field, "/") {
			files[field] = field
		}
	}
	for from, to := range files {
		b, err := os.ReadFile(from) //nolint:gosec // a library
		if err != nil {
			t.Fatal(err)
		}
		to = filepath.Join(root, to)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil { //nolint:gosec // a test's folder
			t.Fatal(err)
		}
		if err := os.WriteFile(to, b, 0o755); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
	}
	return []string{"unshare", "-m", "chroot", root, "/app/" + filepath.Base(path), strconv.Itoa(seconds)}
}
