// SPDX-License-Identifier: Apache-2.0

// Package rig builds, starts, asks and kills the real programs of Strobe.
package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
)

// Module is the path of the packages that Build builds.
const Module = "github.com/strobe-profiler/strobe"

// Build compiles agent and collectionagent into dir. It must run inside of the
// module's source tree.
func Build(ctx context.Context, dir string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", dir+"/", Module+"/agent", Module+"/collectionagent") //nolint:gosec // ours
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return nil
}

// Program is a running program with an HTTP address. Its methods are safe for
// concurrent use, Kill and Stop for one caller at a time.
type Program struct {
	Name string
	// HTTP is the address of its pages.
	HTTP  string
	cmd   *exec.Cmd
	began time.Time
	log   *tail
	ended chan struct{}
	err   error // valid when ended is closed
}

// Start starts a program. What it logs is kept, the newest 64 KiB of it.
func Start(path, httpAddress string, args ...string) (*Program, error) {
	p := &Program{Name: filepath.Base(path), HTTP: httpAddress, log: &tail{}, ended: make(chan struct{})}
	p.cmd = exec.Command(path, args...) //nolint:gosec // ours
	p.cmd.Stderr = p.log
	// The programs end with this one, however it ends.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.began = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.Name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// Began is when the program was started.
func (p *Program) Began() time.Time { return p.began }

// Running reports whether the program has not ended.
func (p *Program) Running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Ended is closed when the program has ended.
func (p *Program) Ended() <-chan struct{} { return p.ended }

// Kill ends the program with SIGKILL and waits for its end.
func (p *Program) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}

// Stop ends the program with SIGTERM. A program that is still there after the
// timeout is killed, which is an error, as is an exit status other than 0.
func (p *Program) Stop(timeout time.Duration) error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.ended:
	case <-time.After(timeout):
		p.Kill()
		return fmt.Errorf("%s had not ended %s after SIGTERM", p.Name, timeout)
	}
	if p.err != nil {
		return fmt.Errorf("end of %s: %w", p.Name, p.err)
	}
	return nil
}

// exit is how a program ended that was not to end, and that has ended.
func (p *Program) exit() error {
	if p.err == nil {
		return errors.New("exit status 0")
	}
	return p.err
}

// Log is the end of what the program logged.
func (p *Program) Log() string { return p.log.String() }

// Ready waits until /-/ready answers 200 and returns how long after the start that
// was.
func (p *Program) Ready(ctx context.Context, timeout time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		if _, err := Get(ctx, "http://"+p.HTTP+"/-/ready"); err == nil {
			return time.Since(p.began), nil
		}
		select {
		case <-p.ended:
			return 0, fmt.Errorf("%s ended before it was ready: %w\n%s", p.Name, p.exit(), p.Log())
		case <-ctx.Done():
			return 0, fmt.Errorf("%s is not ready after %s\n%s", p.Name, time.Since(p.began).Round(time.Millisecond), p.Log())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Metrics scrapes the program.
func (p *Program) Metrics(ctx context.Context) (Metrics, error) {
	b, err := Get(ctx, "http://"+p.HTTP+"/metrics")
	if err != nil {
		return nil, err
	}
	m, err := parseMetrics(b)
	if err != nil {
		return nil, fmt.Errorf("read metrics of %s: %w", p.Name, err)
	}
	return m, nil
}

// Memory returns the resident memory of the program and the highest it had, in
// bytes; 0 when it has ended.
func (p *Program) Memory() (now, peak int64) {
	proc, err := procfs.NewProc(p.cmd.Process.Pid)
	if err != nil {
		return 0, 0
	}
	s, err := proc.NewStatus()
	if err != nil {
		return 0, 0
	}
	return int64(s.VmRSS), int64(s.VmHWM) //nolint:gosec // sizes of memory
}

// CPU is the time that the program has spent on CPUs; 0 when it has ended.
func (p *Program) CPU() time.Duration {
	proc, err := procfs.NewProc(p.cmd.Process.Pid)
	if err != nil {
		return 0
	}
	s, err := proc.Stat()
	if err != nil {
		return 0
	}
	return time.Duration(s.CPUTime() * float64(time.Second))
}

var client = &http.Client{Timeout: 2 * time.Minute}

// Get returns the body of a page. A status other than 200 is an error with the body in it.
func Get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	r, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close() //nolint:errcheck // read only
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", req.URL.Path, err)
	}
	if r.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: status %d: %.300s", req.URL.Path, r.StatusCode, bytes.TrimSpace(b))
	}
	return b, nil
}

// tail keeps the end of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailBytes = 64 << 10

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if len(t.b) > 2*tailBytes {
		t.b = append(t.b[:0], t.b[len(t.b)-tailBytes:]...)
	}
	return len(p), nil
}

// String returns what is kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}
