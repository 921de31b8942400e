// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const metricsAddress = "127.0.0.1:17071"

// agent is a running agent.
type agent struct {
	cmd   *exec.Cmd
	began time.Time
}

func (b *bench) startAgent(args ...string) (*agent, error) {
	args = append([]string{"-http-address", metricsAddress, "-log-format", "json", "-spool-dir", "off"}, args...)
	a := &agent{cmd: exec.Command(filepath.Join(b.bin, "agent"), args...), began: time.Now()} //nolint:gosec // ours
	return a, a.cmd.Start()
}

func (a *agent) stop() {
	_ = a.cmd.Process.Kill() // nothing is to be delivered
	_ = a.cmd.Wait()
}

func (a *agent) ready() error {
	for range 600 {
		if r, err := http.Get("http://" + metricsAddress + "/-/ready"); err == nil {
			_ = r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return nil
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	return errors.New("the agent is not ready after 30 s")
}

// metric reads one of the agent's metrics, 0 when it is not there.
func (a *agent) metric(name string) float64 {
	r, err := http.Get("http://" + metricsAddress + "/metrics")
	if err != nil {
		return 0
	}
	defer r.Body.Close() //nolint:errcheck // read only
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			f, _ := strconv.ParseFloat(strings.TrimSpace(v), 64)
			return f
		}
	}
	return 0
}

// cpu is the CPU time of all threads, to the nanosecond.
func (a *agent) cpu() time.Duration {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", a.cmd.Process.Pid))
	var sum int64
	for _, t := range tasks {
		b, err := os.ReadFile(t) //nolint:gosec // /proc
		if err != nil {
			continue
		}
		first, _, _ := strings.Cut(string(b), " ")
		n, _ := strconv.ParseInt(first, 10, 64)
		sum += n
	}
	return time.Duration(sum)
}

// kernelMemory sums what the agent's eBPF maps and programs take.
func (a *agent) kernelMemory() (int64, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", a.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	seen, sum := map[string]bool{}, int64(0)
	for _, f := range files {
		b, err := os.ReadFile(f) //nolint:gosec // /proc
		if err != nil {
			continue
		}
		id := field(string(b), "map_id:")
		if id == "?" {
			id = "p" + field(string(b), "prog_id:")
		}
		if id == "p?" || seen[id] {
			continue
		}
		seen[id] = true
		n, _ := strconv.ParseInt(field(string(b), "memlock:"), 10, 64)
		sum += n
	}
	return sum, nil
}

// getppid returns the ns that one call takes.
func getppid() float64 {
	const calls = 2_000_000
	began := time.Now()
	for range calls {
		unix.Getppid()
	}
	return float64(time.Since(began).Nanoseconds()) / calls
}

// completeStacks counts the samples in folded stacks that begin with prefix, and
// those of them that hold one of the roots.
func completeStacks(path, prefix string, roots []string) (total, complete int, err error) {
	f, err := os.Open(path) //nolint:gosec // just written
	if err != nil {
		return 0, 0, err
	}
	defer f.Close() //nolint:errcheck // read only
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		i := strings.LastIndexByte(s.Text(), ' ')
		n, err := strconv.Atoi(s.Text()[i+1:])
		if err != nil || !strings.HasPrefix(s.Text(), prefix) {
			continue
		}
		total += n
		if slices.ContainsFunc(roots, func(r string) bool { return strings.Contains(s.Text(), r) }) {
			complete += n
		}
	}
	return total, complete, s.Err()
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
