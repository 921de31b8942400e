// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/internal/hostmemory"
	"github.com/strobe-profiler/strobe/internal/sampling"
	"github.com/strobe-profiler/strobe/libpf"
)

// Environment is what a recording needs of its surroundings.
type Environment struct {
	New      sampling.New
	Identify func(pid libpf.PID, comm string) *libpf.Process
	Stdout   io.Writer
	Stderr   io.Writer
	// Terminal is set when Stderr is one, to show the progress there.
	Terminal bool
	Logger   *slog.Logger
}

// Run records until the target ends, the duration is over or ctx ends, and
// writes the profile. The status is that of the command, 0 without one.
func (o *Options) Run(ctx context.Context, env Environment) (status int, err error) {
	out, err := openOutput(o.Output, env.Stdout)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, out.finish(err == nil)) }()

	pids := o.PIDs
	if len(o.Command) > 0 {
		c, err := startCommand(o.Command)
		if err != nil {
			return 0, err
		}
		// A command that never ran has done nothing that it could clean up.
		defer func() { status = c.stop(c.released) }()
		pids = []libpf.PID{c.pid()}
		return 0, o.record(ctx, env, pids, c.release, out)
	}
	return 0, o.record(ctx, env, pids, func() {}, out)
}

// errEarly is the error of a recording without a moment of sampling.
var errEarly = errors.New("stopped before sampling began")

// record samples the processes, or all for none, and writes to out.
func (o *Options) record(ctx context.Context, env Environment, pids []libpf.PID, release func(), out *output) error {
	targets, err := openProcesses(pids)
	if err != nil {
		return err
	}
	defer targets.close()
	tracer, err := env.New(sampling.Config{
		SamplesPerSecond: o.SamplesPerSecond,
		UnwindTableBytes: int64(o.UnwindTableBytes),
		SymbolBytes:      hostmemory.Grant{Limit: o.MemoryLimit, Tables: o.UnwindTableBytes}.Symbols(),
		Filter:           sampling.Filter{IncludePIDs: pids, FollowChildren: len(pids) > 0},
		Identify:         env.Identify,
		Logger:           env.Logger,
	})
	if err != nil {
		return err
	}
	stacks := newAggregate(o.Format == Pprof, int64(o.MemoryLimit-o.UnwindTableBytes)/2)

	// Who ends the recording does not end the sampling: first the counters are read, which a
	// tracer that has ended has no more.
	sampleCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ran := make(chan error, 1)
	go func() { ran <- tracer.Run(sampleCtx, stacks) }()
	select {
	case <-tracer.Started():
		release()
	case <-ctx.Done():
		stop()
		return cmp.Or(<-ran, errEarly)
	case err := <-ran:
		return cmp.Or(err, errEarly)
	}
	p := progress{env: env, stacks: stacks, tracer: tracer, start: time.Now(), duration: o.Duration}
	o.wait(ctx, targets, len(pids) > 0, p)
	elapsed := time.Since(p.start)
	stats, statsErr := tracer.Stats()
	stop()
	if err := <-ran; err != nil {
		return err
	}
	if err := o.write(out, stacks); err != nil {
		return err
	}
	lost := "unknown"
	if statsErr == nil {
		lost = thousands(int64(stats.Lost)) //nolint:gosec // a count
	}
	return p.summary(out.name, lost, elapsed)
}

// write writes what was recorded.
func (o *Options) write(out io.Writer, stacks *aggregate) error {
	period := int64(time.Second) / int64(o.SamplesPerSecond)
	if o.Convert == nil {
		return stacks.write(out, o.Format, period)
	}
	var b bytes.Buffer
	if err := stacks.write(&b, o.Format, period); err != nil {
		return err
	}
	return o.Convert(out, b.Bytes())
}

// wait returns when recording is over, for whatever reason. The sampling
// itself cannot fail any more.
func (o *Options) wait(ctx context.Context, targets *processes, hasTargets bool, p progress) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if o.Duration > 0 {
		var cancelTimeout context.CancelFunc
		ctx, cancelTimeout = context.WithTimeout(ctx, o.Duration)
		defer cancelTimeout()
	}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if hasTargets {
			targets.wait(ctx)
			cancel()
		}
	}()
	p.show(ctx)
	<-watched
}

// progress tells the user how it goes.
type progress struct {
	env      Environment
	stacks   *aggregate
	tracer   sampling.Tracer
	start    time.Time
	duration time.Duration
}

const progressInterval = 500 * time.Millisecond

// show keeps a line on the terminal current until ctx ends.
func (p *progress) show(ctx context.Context) {
	if !p.env.Terminal {
		<-ctx.Done()
		return
	}
	tick := time.NewTicker(progressInterval)
	defer tick.Stop()
	for {
		p.print(p.line())
		select {
		case <-ctx.Done():
			p.print("")
			return
		case <-tick.C:
		}
	}
}

// print replaces the line on the terminal.
func (p *progress) print(line string) {
	_, _ = io.WriteString(p.env.Stderr, "\r\x1b[K"+line) // only decoration
}

func (p *progress) line() string {
	t := p.stacks.totals()
	line := "recording: " + thousands(t.samples) + " samples"
	if p.duration > 0 {
		line += fmt.Sprintf(", %.0f s left", max(0, (p.duration-time.Since(p.start)).Seconds()))
	} else {
		line += fmt.Sprintf(", %.0f s, Ctrl-C to end", time.Since(p.start).Seconds())
	}
	if s, err := p.tracer.Stats(); err == nil && s.Lost > 0 {
		line += ", " + thousands(int64(s.Lost)) + " lost" //nolint:gosec // a count
	}
	return line
}

// summary says what came out.
func (p *progress) summary(name, lost string, elapsed time.Duration) error {
	t := p.stacks.totals()
	var b strings.Builder
	fmt.Fprintf(&b, "wrote %s: %s samples in %.1f s", name, thousands(t.samples), elapsed.Seconds())
	fmt.Fprintf(&b, ", %s lost, %s with an incomplete stack", lost, thousands(t.cutShort))
	if t.merged > 0 {
		fmt.Fprintf(&b, ", %s without one for want of memory", thousands(t.merged))
	}
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err == nil {
		cpu := time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
		fmt.Fprintf(&b, ", %.2f s of CPU used to record", cpu.Seconds())
	}
	b.WriteByte('\n')
	if t.samples == 0 {
		b.WriteString("no samples: the target used no CPU in that time\n")
	}
	_, err := io.WriteString(p.env.Stderr, b.String())
	return err
}

// thousands prints a count with separators.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// output is where the profile goes. A file is opened before recording, so that
// nobody records for an hour for nothing, and changed only when there is a profile.
type output struct {
	name    string
	w       io.Writer
	file    *os.File
	created bool
	written bool
}

func openOutput(name string, stdout io.Writer) (*output, error) {
	if name == "-" {
		return &output{name: "standard output", w: stdout}, nil
	}
	_, err := os.Lstat(name)
	created := errors.Is(err, os.ErrNotExist)
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600) //nolint:gosec // named by the operator; 0600: it tells what runs on the host
	if err != nil {
		return nil, fmt.Errorf("-o: %w", err)
	}
	return &output{name: name, w: f, file: f, created: created}, nil
}

func (o *output) Write(b []byte) (int, error) {
	if o.file != nil && !o.written {
		// Pipes and devices cannot be cut, and need not be.
		_ = o.file.Truncate(0)
	}
	o.written = true
	return o.w.Write(b)
}

// finish closes the file, or removes it if there was nothing to put in it.
func (o *output) finish(ok bool) error {
	if o.file == nil {
		return nil
	}
	if ok && !o.written {
		_ = o.file.Truncate(0)
	}
	err := o.file.Close()
	if !ok && o.created && !o.written {
		return errors.Join(err, os.Remove(o.name))
	}
	if err != nil {
		return fmt.Errorf("close %s: %w", o.name, err)
	}
	return nil
}
