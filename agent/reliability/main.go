// SPDX-License-Identifier: Apache-2.0

// Command reliability tries whether Strobe keeps its promise: nothing is lost
// without being counted, and nothing is stored twice. It runs the real programs on
// this host, breaks what can break, and compares what the agent says, what the
// server says and what is stored. See docs/reliability.md. It needs root.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/strobe-profiler/strobe/agent/reliability/internal/rig"
	"github.com/strobe-profiler/strobe/agent/reliability/internal/verdict"
)

func main() {
	if runAsChild() {
		return
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// scenario is one of the programs.
type scenario struct {
	name, what string
	// duration is the default of -duration.
	duration time.Duration
	// flags adds the scenario's own flags and returns what runs it.
	flags func(*flag.FlagSet) func(context.Context, *trial) error
}

var scenarios = []scenario{
	{"faults", "a bad network and a bad server between agent and collection agent", 10 * time.Minute, faultsFlags},
	{"kill", "kill -9 of the agent, of the collection agent, and of both", 3 * time.Minute, killFlags},
	{"outage", "an hour without a collection agent, at 1,000 samples/s, compressed in time", 10 * time.Minute, outageFlags},
	{"disk", "full and read-only disks on either side", time.Minute, diskFlags},
	{"fleet", "a thousand agents on one collection agent", 10 * time.Minute, fleetFlags},
}

// trial is what all scenarios get.
type trial struct {
	table *verdict.Table
	// work is a folder for everything, bin holds the programs.
	work, bin string
	seed      uint64
	duration  time.Duration
}

func usage(w io.Writer) {
	_, _ = fmt.Fprint(w, "Usage: reliability SCENARIO [flags]\n\nScenarios:\n")
	for _, s := range scenarios {
		_, _ = fmt.Fprintf(w, "  %-8s %s\n", s.name, s.what)
	}
	_, _ = fmt.Fprint(w, "\nreliability SCENARIO -h lists the flags. Exit status: 0 if all that was checked holds, 1 if not, 2 on wrong usage.\n")
}

// run is main without globals.
func run(args []string, stdout, stderr io.Writer) int {
	at := -1
	if len(args) > 0 {
		at = slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == args[0] })
	}
	if at < 0 {
		usage(stderr)
		return 2
	}
	s := scenarios[at]
	t := &trial{table: verdict.New(stderr)}
	fs := flag.NewFlagSet("reliability "+s.name, flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.DurationVar(&t.duration, "duration", s.duration, "how long to put on load")
	fs.Uint64Var(&t.seed, "seed", 1, "seed of everything random")
	fs.StringVar(&t.bin, "bin", "", "folder with agent and collectionagent; built from the source tree if empty")
	do := s.flags(fs)
	if err := fs.Parse(args[1:]); err != nil {
		return 2 // Parse has said why
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := t.execute(ctx, do); err != nil {
		_, _ = fmt.Fprintln(stderr, "reliability:", err)
		return 1
	}
	if err := t.table.Write(stdout); err != nil || t.table.Failed() > 0 {
		return 1
	}
	return 0
}

// execute runs a scenario in a folder of its own.
func (t *trial) execute(ctx context.Context, do func(context.Context, *trial) error) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("needs root: it loads eBPF programs and mounts file systems")
	}
	if t.work, err = os.MkdirTemp("", "strobe-reliability"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(t.work)) }()
	if t.bin == "" {
		t.bin = t.work
		if err := rig.Build(ctx, t.bin); err != nil {
			return err
		}
	}
	return do(ctx, t)
}
