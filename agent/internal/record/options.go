// SPDX-License-Identifier: Apache-2.0

// Package record is the agent's one-shot mode: it profiles a process, a command
// or the whole host for a while and writes a file. It needs no collection agent.
package record

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/agent/internal/config"
	"github.com/strobe-profiler/strobe/internal/settings"
	"github.com/strobe-profiler/strobe/libpf"
)

// Options say what to record.
type Options struct {
	// PIDs are profiled with their descendants. Exactly one of PIDs, All and
	// Command is set.
	PIDs    []libpf.PID
	All     bool
	Command []string
	// Duration is how long; 0 is until the target ends or ctx does.
	Duration time.Duration
	// SamplesPerSecond is per busy CPU.
	SamplesPerSecond int
	// Format is one of Formats.
	Format string
	// Output is a path, or "-" for standard output.
	Output string
	// UnwindTableBytes and MemoryLimit are those of config.Config.
	UnwindTableBytes, MemoryLimit settings.Bytes
	Verbose                       bool
}

// The formats of the output.
const (
	Folded = "folded"
	Pprof  = "pprof"
)

const (
	defaultSamplesPerSecond = 99 // not in step with anything that happens every 10 ms
	maxSamplesPerSecond     = 1000
)

// outputNames are where the profile goes if nobody says.
var outputNames = map[string]string{Folded: "strobe.folded", Pprof: "strobe.pb.gz"}

const usage = `agent record profiles for a while and writes a file. It needs no collection agent.

Usage:
  agent record -p PID [FLAGS]           a process and its descendants
  agent record -a [FLAGS]               the whole host
  agent record [FLAGS] -- COMMAND...    a command, from its start to its end

  -F N            samples per second and busy CPU, 1 to 1000 (default 99)
  -a              profile the whole host
  -d DURATION     how long: 10s, 1m30s, or seconds (default: until the target
                  ends or Ctrl-C is pressed); a COMMAND is ended with SIGTERM
  -format FORMAT  folded (lines "thread;outermost;...;innermost COUNT", for flame
                  graph tools) or pprof (for "go tool pprof"); default folded, or
                  pprof if FILE ends in .pb.gz, .pprof or .pb
  -memory-limit BYTES
                  memory of agent and unwind tables together (default 256MiB)
  -o FILE         where to write, - for standard output
                  (default strobe.folded or strobe.pb.gz)
  -p PID          profile this process; repeat the flag or use commas for several
  -unwind-table-bytes BYTES
                  kernel memory for unwind tables, 1MiB to 1GiB (default 64MiB)
  -v, -verbose    log more

On a terminal a line shows the progress. Ctrl-C ends early, with the result so
far. Exit status: that of COMMAND if there is one, else 0; 1 error, 2 wrong usage.
`

// WriteUsage writes the help text.
func WriteUsage(w io.Writer) error {
	_, err := io.WriteString(w, usage)
	return err
}

// flagFunc adapts functions to flag.Value, so that errors name the flag only once.
type flagFunc func(string) error

func (f flagFunc) Set(s string) error { return f(s) }
func (f flagFunc) String() string     { return "" }

// Parse reads the command line after "record". The error is flag.ErrHelp when
// help was asked for.
func Parse(args []string) (*Options, error) {
	d := config.Default()
	o := &Options{
		SamplesPerSecond: defaultSamplesPerSecond,
		UnwindTableBytes: d.UnwindTableBytes, MemoryLimit: d.MemoryLimit,
	}
	fs := flag.NewFlagSet("agent record", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	fs.IntVar(&o.SamplesPerSecond, "F", o.SamplesPerSecond, "")
	fs.BoolVar(&o.All, "a", false, "")
	fs.BoolVar(&o.Verbose, "v", false, "")
	fs.BoolVar(&o.Verbose, "verbose", false, "")
	fs.StringVar(&o.Format, "format", "", "")
	fs.StringVar(&o.Output, "o", "", "")
	fs.Var(flagFunc(func(s string) (err error) {
		o.Duration, err = config.ParseSeconds(s)
		if err == nil && o.Duration == 0 {
			err = errors.New("must be more than nothing")
		}
		return err
	}), "d", "")
	fs.Var(flagFunc(func(s string) (err error) {
		o.UnwindTableBytes, err = settings.ParseBytes(s)
		return err
	}), "unwind-table-bytes", "")
	fs.Var(flagFunc(func(s string) (err error) {
		o.MemoryLimit, err = settings.ParseBytes(s)
		return err
	}), "memory-limit", "")
	fs.Var(flagFunc(func(s string) error {
		for part := range strings.SplitSeq(s, ",") {
			pid, err := config.ParsePID(strings.TrimSpace(part))
			if err != nil {
				return err
			}
			o.PIDs = append(o.PIDs, pid)
		}
		return nil
	}), "p", "")
	if err := fs.Parse(args); err != nil {
		return nil, config.ExplainFlagError(err, fs)
	}
	if fs.NArg() > 0 {
		o.Command = fs.Args()
	}
	return o, o.complete()
}

// complete checks the options and fills in what follows from others.
func (o *Options) complete() error {
	var errs []error
	targets := 0
	for _, given := range []bool{len(o.PIDs) > 0, o.All, len(o.Command) > 0} {
		if given {
			targets++
		}
	}
	if targets != 1 {
		errs = append(errs, errors.New("say what to profile, one of: -p PID, -a for the whole host, -- COMMAND"))
	}
	if o.Format == "" {
		o.Format = Folded
		for _, suffix := range []string{".pb.gz", ".pprof", ".pb"} {
			if strings.HasSuffix(o.Output, suffix) {
				o.Format = Pprof
			}
		}
	}
	if outputNames[o.Format] == "" {
		errs = append(errs, fmt.Errorf("-format: is %q, must be folded or pprof", o.Format))
	}
	if o.Output == "" {
		o.Output = outputNames[o.Format]
	}
	if o.SamplesPerSecond < 1 || o.SamplesPerSecond > maxSamplesPerSecond {
		errs = append(errs, fmt.Errorf("-F: is %d, must be 1 to %d", o.SamplesPerSecond, maxSamplesPerSecond))
	}
	c := config.Default()
	c.UnwindTableBytes, c.MemoryLimit = o.UnwindTableBytes, o.MemoryLimit
	return errors.Join(append(errs, c.Validate())...)
}
