// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/support/skip"
)

const (
	// execVar makes the child of this test become that program when its standard input ends.
	execVar = "STROBE_TEST_EXEC"
	// secondThreadVar makes the child work on a second thread, too.
	secondThreadVar = "STROBE_TEST_SECOND_THREAD"
)

// becomeAnother is what the child does: it works, and then runs a program with another service,
// from a thread that need not be the process's first.
func becomeAnother(program string) {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		panic(syscall.Exec(program, []string{program}, []string{childVar + "=3", secondThreadVar + "=yes", "OTEL_SERVICE_NAME=after"}))
	}()
	summit(3)
}

// workOnThread wants a CPU for itself, on a thread for itself.
func workOnThread() {
	runtime.LockOSThread()
	n := 0
	for {
		n++
	}
}

// TestExecInContainer goes the way of a container's first process: it is the runtime's, is seen
// as such, and becomes a program of the image, on a file system of layers.
func TestExecInContainer(t *testing.T) {
	skip.UnlessRoot(t)
	dir := t.TempDir()
	for _, d := range []string{"lower", "upper", "work", "image"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil { //nolint:gosec // nothing secret
			t.Fatal(err)
		}
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "lower", "program"), self, 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	image := filepath.Join(dir, "image")
	layers := "lowerdir=" + filepath.Join(dir, "lower") + ",upperdir=" + filepath.Join(dir, "upper") + ",workdir=" + filepath.Join(dir, "work")
	if err := syscall.Mount("overlay", image, "overlay", 0, layers); err != nil {
		skip.Because(t, "no overlay file system can be mounted here: "+err.Error())
	}
	t.Cleanup(func() { _ = syscall.Unmount(image, syscall.MNT_DETACH) })

	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{childVar + "=3", execVar + "=" + filepath.Join(image, "program"), "OTEL_SERVICE_NAME=before"}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	pid := startCommand(t, cmd)
	identified := 0 // as what it becomes
	identify := func(p libpf.PID, comm string) *libpf.Process {
		env, _ := os.ReadFile("/proc/" + strconv.Itoa(int(p)) + "/environ")
		_, after, _ := bytes.Cut(env, []byte("OTEL_SERVICE_NAME="))
		service, _, _ := bytes.Cut(after, []byte{0})
		if string(service) == "after" {
			identified++
		}
		return &libpf.Process{PID: p, Name: comm, Executable: "/program", Service: string(service)}
	}
	// Identities are kept by what all threads of a process share, so samples of one and then of
	// another ask for none.
	const alternations = 20
	seen, left, thread := false, alternations, libpf.TID(0)
	run(t, Config{Identify: identify, Filter: Filter{IncludePIDs: []libpf.PID{pid}}}, 1, func(s *libpf.Sample) bool {
		if s.Process.Service == "before" && !seen {
			seen = true
			_ = in.Close() // now it becomes the other program
		}
		if s.Process.Service == "after" && s.TID != thread {
			thread = s.TID
			left--
		}
		return left == 0
	})
	if !seen {
		t.Error("the program was not seen as what it was at first")
	}
	// Once for its first sample, and once more if its executable was not known by then.
	if identified > 2 {
		t.Errorf("what it became was identified %d times for %d turns of its threads, want once or twice", identified, alternations)
	}
}
