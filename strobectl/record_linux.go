// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/internal/buildinfo"
	"github.com/strobe-profiler/strobe/internal/record"
	"github.com/strobe-profiler/strobe/internal/sampling/live"
	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/strobectl/internal/files"
	"github.com/strobe-profiler/strobe/strobectl/internal/render"
	"github.com/strobe-profiler/strobe/strobectl/internal/term"
	"github.com/strobe-profiler/strobe/tracer/identity"
)

// recordObjects describes the eBPF objects that record loads.
func recordObjects() []buildinfo.Object { return live.Objects() }

const (
	recordUnwindTables = 64 << 20
	recordMemory       = 256 << 20
)

// pids is a flag that may be repeated.
type pids []libpf.PID

func (p *pids) String() string { return "" }

// Set implements flag.Value.
func (p *pids) Set(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		n, err := strconv.ParseUint(strings.TrimSpace(part), 10, 31)
		if err != nil || n == 0 {
			return fmt.Errorf("%q is not the ID of a process", part)
		}
		*p = append(*p, libpf.PID(n))
	}
	return nil
}

func recordCommand() *command {
	return &command{
		name:     "record",
		operands: "[-- COMMAND...]",
		summary:  "Profile this host, a process or a command, without a server (as root).",
		help: `
It profiles a COMMAND from its start to its end, processes (-pid) with what they
start, or the whole host (-a), until Ctrl-C or for -d. The formats of -o are those of
strobectl export; without -o a table is printed. Give profiles to a server with
strobectl import. The status is that of COMMAND if there is one.`,
		setup: func(flags *flag.FlagSet) func(*call) error {
			o := &record.Options{UnwindTableBytes: recordUnwindTables, MemoryLimit: recordMemory, Format: record.Pprof}
			a := &ask{}
			flags.StringVar(&a.output, "o", "", "`file` to write, such as cpu.pb.gz, .folded, .svg, .html, .speedscope.json, .otlp (default a table)")
			flags.Var((*pids)(&o.PIDs), "pid", "process to profile with its descendants, a `PID`; may be repeated")
			flags.BoolVar(&o.All, "a", false, "profile the whole host")
			flags.DurationVar(&o.Duration, "d", 0, "how long, a `time` such as 10s (default until the target ends, or Ctrl-C)")
			flags.IntVar(&o.SamplesPerSecond, "rate", record.DefaultSamplesPerSecond, "samples per second and busy CPU, 1 to 1000")
			flags.BoolVar(&o.Verbose, "v", false, "log more")
			flags.IntVar(&a.limit, "limit", defaultRows, "most `rows` of the table")
			a.colour(flags)
			return func(in *call) error { return runRecord(in, a, o) }
		},
	}
}

func runRecord(in *call, a *ask, o *record.Options) error {
	o.Command = in.args
	out, err := a.terminal(in)
	if err != nil {
		return err
	}
	if o.Duration < 0 {
		return misuse("-d: %s is less than nothing", o.Duration)
	}
	if err := o.Check(); err != nil {
		text := strings.NewReplacer("-p PID", "-pid PID", "-F:", "-rate:").Replace(err.Error())
		return misuse("%s", text)
	}
	format, name := "", "-"
	if a.output != "" && a.output != "table" {
		if format, name, err = picture(a.output); err != nil {
			return err
		}
		if format == "" {
			return misuse("-o: %q is no format that is written here", a.output)
		}
	}
	o.Output = name
	what := strings.Join(o.Command, " ")
	switch {
	case o.All:
		what = "the whole host"
	case len(o.PIDs) > 0:
		what = "processes " + strings.Trim(fmt.Sprint(o.PIDs), "[]")
	}
	o.Convert = func(w io.Writer, pprof []byte) error {
		if format != "" {
			about := render.About{Title: what, Text: "recorded " + time.Now().Format("2006-01-02 15:04:05")}
			return files.WritePprof(w, format, pprof, "", about)
		}
		return printRecorded(out, pprof, a.limit)
	}
	if format == files.Pprof {
		o.Convert = nil
	}
	level := slog.LevelWarn
	if o.Verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(in.stderr, &slog.HandlerOptions{Level: level}))
	debug.SetMemoryLimit(int64(o.MemoryLimit - o.UnwindTableBytes))
	resolver, err := identity.New(identity.Options{Logger: log})
	if err != nil {
		return err
	}
	status, err := o.Run(in.ctx, record.Environment{
		New: live.New, Identify: resolver.Process, Stdout: in.stdout, Stderr: in.stderr, Terminal: term.Terminal(in.stderr), Logger: log,
	})
	if err != nil {
		return recordError(err)
	}
	if status != 0 {
		return statusError(status)
	}
	return nil
}

// recordError names the flags as they are here: those of agent record are shorter.
func recordError(err error) error {
	text := strings.NewReplacer("-p:", "-pid:", "use -p ", "use -pid ").Replace(err.Error())
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}

func printRecorded(out *term.Out, pprof []byte, limit int) error {
	t, err := files.Read(pprof, "")
	if err != nil {
		return err
	}
	if t.Root.Total == 0 {
		return nil // the summary says so
	}
	return printTop(out, topOf(t, limit, "self"), "self")
}
