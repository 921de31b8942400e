// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/collectionagent/bench/workload"
)

// server is a running collection agent.
type server struct {
	cmd        *exec.Cmd
	http, grpc string // addresses
}

// ready is the line that a collection agent prints.
var ready = regexp.MustCompile(`open (http://\S+) \(agents send to (\S+),`)

// noLimits lifts the limits that keep one host from taking the server to itself,
// since an hour is sent as fast as the server takes it.
var noLimits = []string{
	"-host-bytes-per-second", "0", "-host-samples-per-second", "0", "-host-series-per-second", "0",
	"-project-bytes-per-second", "0", "-project-samples-per-second", "0", "-project-series-per-second", "0",
}

// noAge lifts the limits of age for a workload that is longer than samples stay.
var noAge = []string{"-max-sample-age", "87600h", "-retention", "0", "-retention-minutes", "0", "-retention-hours", "0"}

// serve starts a collection agent, with more flags.
func (b *bench) serve(ctx context.Context, dir string, more ...string) (*server, error) {
	args := append([]string{"-data-dir", dir, "-http-address", "127.0.0.1:0", "-grpc-address", "127.0.0.1:0", "-log-level", "warn"}, noLimits...)
	if b.windows > 6*24*3600/workload.WindowSeconds {
		args = append(args, noAge...)
	}
	args = append(args, more...)
	s := &server{cmd: exec.CommandContext(ctx, b.binary, args...)} //nolint:gosec // ours
	s.cmd.Stderr = os.Stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the collection agent (make build): %w", err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	found := ready.FindStringSubmatch(line)
	if found == nil {
		s.kill()
		return nil, fmt.Errorf("the collection agent did not start: %q: %w", line, err)
	}
	s.http, s.grpc = strings.TrimSuffix(found[1], "/"), found[2]
	return s, nil
}

func (s *server) pid() int { return s.cmd.Process.Pid }

// stop ends the server as an operator would.
func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return s.cmd.Wait()
}

// kill ends the server if it is still there.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// peak returns the highest resident memory so far, in bytes.
func (s *server) peak() int64 { return resident(s.pid(), "VmHWM:") }

// resident reads a line of the status of a process, in bytes; 0 when it cannot be read.
func resident(pid int, line string) int64 {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for l := range strings.Lines(string(content)) {
		if v, ok := strings.CutPrefix(l, line); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 10, 64)
			return n << 10
		}
	}
	return 0
}

// cpu returns the CPU time of a process, user and system, of threads that ended too.
func cpu(pid int) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &t); err != nil { //nolint:gosec // the clock of a process, see clock_getcpuclockid(3)
		return 0
	}
	return time.Duration(t.Nano())
}

// reserveFile is what a collection agent gives up when its disk is full. It has the same
// size however much is stored.
const reserveFile = "reserve"

// size returns the bytes in a directory, but those of the reserve in it.
func size(dir string) (int64, error) {
	var n int64
	reserve := filepath.Join(dir, reserveFile)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // removed meanwhile
			}
			return err
		}
		if info, err := e.Info(); err == nil && e.Type().IsRegular() && path != reserve {
			n += info.Size()
		}
		return nil
	})
	return n, err
}

// compacted is what a compaction took.
type compacted struct {
	cpu         time.Duration
	peak, bytes int64
}

// compact does the upkeep of a directory.
func (b *bench) compact(ctx context.Context, dir string) (compacted, error) {
	cmd := exec.CommandContext(ctx, b.binary, "compact", "-data-dir", dir, "-log-level", "warn") //nolint:gosec // ours
	if out, err := cmd.CombinedOutput(); err != nil {
		return compacted{}, fmt.Errorf("compact: %w\n%s", err, out)
	}
	c := compacted{cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		c.peak = usage.Maxrss << 10
	}
	return c, nil
}

// profile writes a CPU profile of the server until the returned function is called.
func (b *bench) profile(s *server, name string) (stop func()) {
	if b.profiles == "" {
		return func() {}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	done := make(chan error, 1)
	prefix := filepath.Join(b.profiles, name)
	if b.agent != "" {
		go func() { done <- b.record(ctx, s, prefix+".pb.gz") }()
	} else {
		go func() { done <- fetchProfiles(ctx, s, prefix) }()
	}
	return func() {
		cancel()
		if err := <-done; err != nil {
			_, _ = fmt.Fprintln(os.Stderr, "profile:", err)
		}
	}
}

// record writes a profile that our own agent takes, until the context ends.
func (b *bench) record(ctx context.Context, s *server, path string) error {
	cmd := exec.CommandContext(ctx, b.agent, "record", "-p", strconv.Itoa(s.pid()), "-F", "499", "-o", path) //nolint:gosec // from the command line
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	out, err := cmd.CombinedOutput()
	if err != nil && !(ctx.Err() != nil && cmd.ProcessState.Success()) {
		return fmt.Errorf("%s record: %w\n%s", b.agent, err, out)
	}
	return nil
}

// fetchProfiles writes one profile after the other, 5 s each, until the context ends.
func fetchProfiles(ctx context.Context, s *server, prefix string) error {
	for i := 0; ctx.Err() == nil; i++ {
		r, err := http.Get(s.http + "/debug/pprof/profile?seconds=5")
		if err != nil {
			return err
		}
		content, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil {
			return err
		}
		if err := os.WriteFile(fmt.Sprintf("%s-%d.pb.gz", prefix, i), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}
