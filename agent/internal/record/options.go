// SPDX-License-Identifier: Apache-2.0

// Package record is the command line of the agent's one-shot mode.
package record

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/strobe-profiler/strobe/agent/internal/config"
	"github.com/strobe-profiler/strobe/internal/invocation"
	"github.com/strobe-profiler/strobe/internal/record"
	"github.com/strobe-profiler/strobe/internal/settings"
)

// outputNames are where the profile goes if nobody says.
var outputNames = map[string]string{record.Folded: "strobe.folded", record.Pprof: "strobe.pb.gz"}

// program is the name that people call it by.
var program = invocation.Name("agent")

var usage = program + ` record profiles for a while and writes a file. It needs no collection agent.

Usage:
  ` + program + ` record -p PID [FLAGS]           a process and its descendants
  ` + program + ` record -a [FLAGS]               the whole host
  ` + program + ` record [FLAGS] -- COMMAND...    a command, from its start to its end

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
func Parse(args []string) (*record.Options, error) {
	d := config.Default()
	o := &record.Options{
		SamplesPerSecond: record.DefaultSamplesPerSecond,
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
	return o, complete(o)
}

// complete checks the options and fills in what follows from others.
func complete(o *record.Options) error {
	errs := []error{o.Check()}
	if o.Format == "" {
		o.Format = record.Folded
		for _, suffix := range []string{".pb.gz", ".pprof", ".pb"} {
			if strings.HasSuffix(o.Output, suffix) {
				o.Format = record.Pprof
			}
		}
	}
	if outputNames[o.Format] == "" {
		errs = append(errs, fmt.Errorf("-format: is %q, must be folded or pprof", o.Format))
	}
	if o.Output == "" {
		o.Output = outputNames[o.Format]
	}
	c := config.Default()
	c.UnwindTableBytes, c.MemoryLimit = o.UnwindTableBytes, o.MemoryLimit
	return errors.Join(append(errs, c.Validate())...)
}
