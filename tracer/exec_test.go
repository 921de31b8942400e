// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/support/skip"
)

// execVar makes the child of this test become that program when its standard input ends.
const execVar = "STROBE_TEST_EXEC"

// becomeAnother is what the child does: it works, and then runs a program with another service.
func becomeAnother(program string) {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		panic(syscall.Exec(program, []string{program}, []string{childVar + "=3", "OTEL_SERVICE_NAME=after"}))
	}()
	summit(3)
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
	if out, err := exec.Command("cp", "/proc/self/exe", filepath.Join(dir, "lower", "program")).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	image := filepath.Join(dir, "image")
	layers := "lowerdir=" + filepath.Join(dir, "lower") + ",upperdir=" + filepath.Join(dir, "upper") + ",workdir=" + filepath.Join(dir, "work")
	if err := syscall.Mount("overlay", image, "overlay", 0, layers); err != nil {
		skip.Because(t, "no overlay file system can be mounted here: "+err.Error())
	}
	t.Cleanup(func() { _ = syscall.Unmount(image, syscall.MNT_DETACH) })

	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{childVar + "=3", execVar + "=" + filepath.Join(image, "program"), "OTEL_SERVICE_NAME=before"}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lines := bufio.NewReader(out)
	if _, err := lines.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	pid := libpf.PID(cmd.Process.Pid) //nolint:gosec // a PID
	var asked atomic.Int32
	identify := func(p libpf.PID, comm string) *libpf.Process {
		asked.Add(1)
		env, _ := os.ReadFile("/proc/" + strconv.Itoa(int(p)) + "/environ")
		_, after, _ := bytes.Cut(env, []byte("OTEL_SERVICE_NAME="))
		service, _, _ := bytes.Cut(after, []byte{0})
		return &libpf.Process{PID: p, Name: comm, Service: string(service), StartTime: 1}
	}
	seen := false
	run(t, Config{Identify: identify, Filter: Filter{IncludePIDs: []libpf.PID{pid}}}, 1, func(s *libpf.Sample) bool {
		if s.Process.Service == "before" && !seen {
			seen = true
			_ = in.Close() // now it becomes the other program
		}
		return s.Process.Service == "after"
	})
	if !seen {
		t.Error("the program was not seen as what it was at first")
	}
}
