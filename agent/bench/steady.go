// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/cilium/ebpf"
)

// samples measures what a sample costs in steady state, in eBPF, in user space
// and on the wire, with a collection agent that stores it.
func (b *bench) samples() error {
	chain, err := b.subject("chain")
	if err != nil {
		return err
	}
	deep, err := b.subject("recur", "-O1", "-fno-optimize-sibling-calls", "-DDEPTH=200")
	if err != nil {
		return err
	}
	stats, err := ebpf.EnableStats(0) // BPF_STATS_RUN_TIME
	if err != nil {
		return fmt.Errorf("enable eBPF statistics: %w", err)
	}
	defer stats.Close()                                                                                         //nolint:errcheck // end of the program
	server := exec.Command(filepath.Join(b.bin, "collectionagent"), "-data-dir", filepath.Join(b.work, "data"), //nolint:gosec // ours
		"-http-address", "127.0.0.1:17070", "-grpc-address", "127.0.0.1:21000")
	if err := server.Start(); err != nil {
		return err
	}
	defer end(server)

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := errors.Join(load(ctx, chain, 4), load(ctx, deep, 1)); err != nil {
		return err
	}
	for _, hz := range []string{"20", "97", "400"} {
		a, err := b.startAgent("-samples-per-second", hz, "-collection-agent", "127.0.0.1:21000", "-disable-tls")
		if err != nil {
			return err
		}
		if err := a.ready(); err != nil {
			return err
		}
		time.Sleep(8 * time.Second) // names and tables are there, the connection is up
		cpu, s0, f0 := a.cpu(), a.metric("strobe_agent_samples_total"), a.metric(`strobe_agent_kernel_events_total{reason="user_frames"}`)
		w0, n0 := a.metric(`strobe_agent_reporter_wire_bytes_total{direction="out"}`), a.metric("strobe_agent_reporter_stored_samples_total")
		ns0, runs0, err := programTime("sample_cpu")
		if err != nil {
			return err
		}
		time.Sleep(b.length)
		used, samples := a.cpu()-cpu, a.metric("strobe_agent_samples_total")-s0
		frames := a.metric(`strobe_agent_kernel_events_total{reason="user_frames"}`) - f0
		wire, stored := a.metric(`strobe_agent_reporter_wire_bytes_total{direction="out"}`)-w0, a.metric("strobe_agent_reporter_stored_samples_total")-n0
		ns, runs, err := programTime("sample_cpu")
		if err != nil {
			return err
		}
		a.stop()
		b.row(hz+" Hz: agent CPU", "%.2f %% of a core", 100*used.Seconds()/b.length.Seconds())
		b.row(hz+" Hz: user space per 1,000 samples", "%.1f ms", used.Seconds()*1e6/samples)
		b.row(hz+" Hz: eBPF per sample, per user frame", "%.1f µs, %.3f µs (%.0f frames)",
			float64(ns-ns0)/float64(runs-runs0)/1e3, float64(ns-ns0)/frames/1e3, frames/samples)
		b.row(hz+" Hz: on the wire per sample", "%.1f bytes", wire/stored)
	}
	return nil
}

// memory measures what the agent takes while 150 executables are mapped.
func (b *bench) memory() error {
	const executables = 150
	chain, err := b.subject("chain")
	if err != nil {
		return err
	}
	content, err := os.ReadFile(chain) //nolint:gosec // just built
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for i := range executables {
		path := filepath.Join(b.work, fmt.Sprintf("copy%d", i))
		// What stands behind the last section is not read, but makes it another file.
		if err := os.WriteFile(path, fmt.Appendf(content, "%d", i), 0o700); err != nil { //nolint:gosec // a program
			return err
		}
		if err := load(ctx, path, 1); err != nil {
			return err
		}
	}
	a, err := b.startAgent("-samples-per-second", "97", "-collection-agent", "127.0.0.1:1")
	if err != nil {
		return err
	}
	defer a.stop()
	if err := a.ready(); err != nil {
		return err
	}
	time.Sleep(b.length)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
	if err != nil {
		return err
	}
	kernel, err := a.kernelMemory()
	if err != nil {
		return err
	}
	b.row(fmt.Sprintf("%d executables: resident, highest", executables), "%s, %s", field(string(status), "VmRSS:"), field(string(status), "VmHWM:"))
	b.row(fmt.Sprintf("%d executables: eBPF maps", executables), "%.1f MB, of it rows in use %.2f MB", float64(kernel)/1e6,
		a.metric("strobe_agent_unwind_table_bytes")/1e6)
	return nil
}

func field(status, name string) string {
	for line := range strings.Lines(status) {
		if v, ok := strings.CutPrefix(line, name); ok {
			return strings.TrimSpace(v)
		}
	}
	return "?"
}

// programTime returns the run time in ns and the runs of all programs of a name.
func programTime(name string) (ns, runs uint64, err error) {
	for id := ebpf.ProgramID(0); ; {
		if id, err = ebpf.ProgramGetNextID(id); err != nil {
			if errors.Is(err, os.ErrNotExist) {
				return ns, runs, nil
			}
			return 0, 0, fmt.Errorf("list programs: %w", err)
		}
		p, err := ebpf.NewProgramFromID(id)
		if err != nil {
			continue // gone
		}
		info, err := p.Info()
		if err == nil && info.Name == name {
			if s, err := p.Stats(); err == nil {
				ns += uint64(s.Runtime) //nolint:gosec // not negative
				runs += s.RunCount
			}
		}
		_ = p.Close()
	}
}

func end(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(os.Interrupt)
	_ = cmd.Wait()
}
