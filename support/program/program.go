// SPDX-License-Identifier: Apache-2.0

// Package program builds, starts, asks and stops real programs in tests.
package program

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Build compiles commands of the project into a directory, each named by its path in
// the source tree. It must run inside of the project's module.
func Build(dir string, commands ...string) error {
	args := []string{"build", "-o", dir + "/"}
	for _, c := range commands {
		args = append(args, "github.com/strobe-profiler/strobe/"+c)
	}
	cmd := exec.Command("go", args...) //nolint:gosec // ours
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %q: %w\n%s", commands, err, out)
	}
	return nil
}

// Running is a program that runs until it is stopped, at the latest when its test ends.
type Running struct {
	*exec.Cmd
	t    testing.TB
	log  log
	done bool
}

// Start starts a program. What it says on its standard error is kept, and shown when the
// test fails.
func Start(t testing.TB, cmd *exec.Cmd) *Running {
	t.Helper()
	r := &Running{Cmd: cmd, t: t}
	cmd.Stderr = &r.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !r.done {
			r.Kill()
		}
		if t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(cmd.Path), r.Log())
		}
	})
	return r
}

// Stop stops the program with SIGTERM and expects a clean end.
func (r *Running) Stop() {
	r.t.Helper()
	if err := r.Process.Signal(syscall.SIGTERM); err != nil {
		r.t.Fatal(err)
	}
	if err := r.Wait(); err != nil {
		r.t.Errorf("%s after SIGTERM: %v", filepath.Base(r.Path), err)
	}
}

// Kill ends the program with SIGKILL.
func (r *Running) Kill() {
	_ = r.Process.Kill()
	_ = r.Wait()
}

// Wait waits for the end of the program.
func (r *Running) Wait() error {
	r.done = true
	return r.Cmd.Wait()
}

// Log is what the program has said so far.
func (r *Running) Log() string { return r.log.String() }

// log may be read while the program writes.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String returns what was written.
func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Get returns the answer to a GET, "" if there is none or its status is not 200.
func Get(ctx context.Context, url string) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return ""
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return ""
	}
	return string(b)
}

// Eventually asks until the answer is good, and ends the test when it is not within limit.
func Eventually(t testing.TB, limit time.Duration, what string, good func(ctx context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for !good(ctx) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("no %s: %v", what, ctx.Err())
		}
	}
}
