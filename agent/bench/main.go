// SPDX-License-Identifier: Apache-2.0

// Command bench measures the agent on this host, with the real binary, and
// prints the table of docs/measurements.md. It needs root, gcc, and bin/agent
// and bin/collectionagent (make build).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

func main() {
	log.SetFlags(0)
	dir := flag.String("bin", "bin", "folder of the binaries")
	seconds := flag.Int("seconds", 20, "length of each measurement")
	flag.Parse()
	b := &bench{bin: *dir, length: time.Duration(*seconds) * time.Second}
	if err := b.run(); err != nil {
		log.Fatal("bench: ", err)
	}
}

type bench struct {
	bin    string
	length time.Duration
	work   string
	rows   []string
}

func (b *bench) row(what, format string, a ...any) {
	line := fmt.Sprintf("| %s | %s |", what, fmt.Sprintf(format, a...))
	fmt.Println(line)
	b.rows = append(b.rows, line)
}

func (b *bench) run() error {
	if os.Geteuid() != 0 {
		return errors.New("needs root: it loads eBPF programs")
	}
	var err error
	if b.work, err = os.MkdirTemp("", "strobe-bench"); err != nil {
		return err
	}
	defer os.RemoveAll(b.work) //nolint:errcheck // temporary
	fmt.Println("| figure | measured |\n| --- | --- |")
	for _, part := range []struct {
		name string
		f    func() error
	}{
		{"start", b.start}, {"system calls", b.syscalls}, {"children", b.children}, {"samples", b.samples}, {"memory", b.memory},
	} {
		if err := part.f(); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

// subject compiles one of the test programs.
func (b *bench) subject(name string, args ...string) (string, error) {
	out := filepath.Join(b.work, name)
	args = append([]string{"-O2", "-g", "-fomit-frame-pointer", "-o", out, filepath.Join("tracer/tracertest/testdata/src", name+".c")}, args...)
	if msg, err := exec.Command("gcc", args...).CombinedOutput(); err != nil { //nolint:gosec // our own sources
		return "", fmt.Errorf("gcc %s: %w\n%s", name, err, msg)
	}
	return out, nil
}

// load keeps programs running until the context ends.
func load(ctx context.Context, path string, n int) error {
	for range n {
		if err := exec.CommandContext(ctx, path, "600").Start(); err != nil { //nolint:gosec // just built
			return err
		}
	}
	return nil
}

// start measures CPU and time from exec to the first sample, five times.
func (b *bench) start() error {
	path, err := b.subject("chain")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := load(ctx, path, 1); err != nil {
		return err
	}
	var wall, cpu []float64
	for range 5 {
		a, err := b.startAgent("-samples-per-second", "99", "-collection-agent", "127.0.0.1:1")
		if err != nil {
			return err
		}
		began := a.began
		for a.metric("strobe_agent_samples_total") == 0 {
			if time.Since(began) > time.Minute {
				a.stop()
				return errors.New("no sample in a minute")
			}
			time.Sleep(5 * time.Millisecond)
		}
		wall = append(wall, time.Since(began).Seconds())
		cpu = append(cpu, a.cpu().Seconds())
		a.stop()
	}
	b.row("start to first sample, median of 5", "%.2f s, %.2f s of CPU", median(wall), median(cpu))
	return nil
}

// syscalls compares the cost of a system call with the agent off and on, in turn.
func (b *bench) syscalls() error {
	var off, on []float64
	for range 9 {
		off = append(off, getppid())
		a, err := b.startAgent("-collection-agent", "127.0.0.1:1")
		if err != nil {
			return err
		}
		if err := a.ready(); err != nil {
			return err
		}
		time.Sleep(time.Second) // what it does once is done
		on = append(on, getppid())
		a.stop()
	}
	b.row("getppid(), agent off / on, median of 9", "%.0f / %.0f ns, ratio %.3f", median(off), median(on), median(on)/median(off))
	return nil
}

// children measures how many samples of 20 ms processes are complete.
func (b *bench) children() error {
	path, err := b.subject("forker")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "600") //nolint:gosec // just built
	if err := cmd.Start(); err != nil {
		return err
	}
	out := filepath.Join(b.work, "children.folded")
	record := exec.Command(filepath.Join(b.bin, "agent"), "record", "-p", strconv.Itoa(cmd.Process.Pid), //nolint:gosec // ours
		"-d", b.length.String(), "-F", "400", "-o", out)
	if msg, err := record.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, msg)
	}
	total, complete, err := completeStacks(out, "exe;", []string{";_start;", ";_start_c;"})
	if err != nil {
		return err
	}
	b.row("complete samples of 20 ms children", "%.1f %% of %d", 100*float64(complete)/float64(max(total, 1)), total)
	return nil
}
