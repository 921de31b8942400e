// SPDX-License-Identifier: Apache-2.0

// Command bench measures the collection agent: it starts the real binary on an
// empty directory, sends it the hour of package workload, and asks it the
// questions that people ask. It prints one table, with the goals and with what
// was measured of others on the same workload. It needs bin/collectionagent
// (make build). With -target it sends the same workload to another server.
//
// "bench soak" is a mixed load that lasts, and checks that nothing is lost and memory
// stays flat; "bench month" asks for 30 days of 100 hosts. Both take -h.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/bench/workload"
)

// commands are what else there is to measure.
var commands = map[string]func(ctx context.Context, args []string) error{
	"soak": func(ctx context.Context, args []string) error {
		s, err := newSoak(args, os.Stdout, os.Stderr)
		if err != nil {
			return err
		}
		return s.run(ctx)
	},
	"month": func(ctx context.Context, args []string) error {
		m, err := newMonth(args, os.Stdout, os.Stderr)
		if err != nil {
			return err
		}
		return m.run(ctx)
	},
}

func main() {
	log.SetFlags(0)
	if len(os.Args) > 1 && commands[os.Args[1]] != nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		if err := commands[os.Args[1]](ctx, os.Args[2:]); err != nil && !errors.Is(err, flag.ErrHelp) {
			log.Fatal("bench: ", err) //nolint:gocritic // the end of the process stops everything
		}
		return
	}
	b := &bench{config: workload.Default(), out: os.Stdout}
	var hours float64
	r := replay{}
	flag.StringVar(&b.binary, "binary", "bin/collectionagent", "the collection agent to measure")
	flag.IntVar(&b.hosts, "hosts", 1, "number of hosts that send")
	flag.IntVar(&b.windows, "windows", 0, "windows of 10 s that each host sends; 0: as -hours says")
	flag.Float64Var(&hours, "hours", 1, "hours that each host sends")
	flag.IntVar(&b.config.Stacks, "stacks", b.config.Stacks, "distinct stacks")
	flag.IntVar(&b.inFlight, "in-flight", 4, "requests on their way at once")
	flag.IntVar(&b.runs, "runs", 20, "times that each question is asked")
	flag.DurationVar(&b.budget, "budget", 20*time.Second, "time after which a question is asked no more")
	flag.StringVar(&b.via, "via", "both", "how samples are sent: own, otlp or both")
	flag.StringVar(&b.only, "only", "", "ask only questions whose name contains this")
	flag.StringVar(&b.profiles, "profiles", "", "directory for CPU profiles of the server, by phase")
	flag.StringVar(&b.agent, "agent", "", "take the profiles of -profiles with this agent (bin/agent, as root) instead of the server itself")
	flag.StringVar(&b.dir, "dir", "", "directory to work in; it stays. Default: a temporary one")
	flag.StringVar(&r.target, "target", "", "send to another server instead: otlp (gRPC), pyroscope (pprof over HTTP), or pyroscope-otlp")
	flag.StringVar(&r.address, "addr", "", "host:port of the other server")
	flag.IntVar(&r.pid, "pid", 0, "process of the other server, to measure it")
	flag.StringVar(&r.dir, "server-dir", "", "data directory of the other server, to measure it")
	flag.BoolVar(&r.timestamps, "timestamps", false, "OTLP: a time for each observation instead of counts")
	flag.Parse()
	if flag.NArg() > 0 {
		log.Fatalf("bench: unexpected argument %q: expected soak, month, or flags alone", flag.Arg(0))
	}
	if b.windows == 0 {
		b.windows = int(hours * 3600 / workload.WindowSeconds)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if r.target != "" {
		err = b.replay(ctx, &r)
	} else {
		err = b.run(ctx)
	}
	if err != nil {
		log.Fatal("bench: ", err) //nolint:gocritic // the end of the process stops everything
	}
}

// bench is a run.
type bench struct {
	binary         string
	config         workload.Config
	hosts, windows int
	inFlight       int
	runs           int
	budget         time.Duration
	via, only      string
	profiles, dir  string
	agent          string
	out            *os.File

	work *workload.Workload
	base time.Time // when the samples begin
}

// prepare makes the workload, which ends now.
func (b *bench) prepare() error {
	if b.hosts < 1 || b.windows < 1 || b.inFlight < 1 || b.runs < 1 {
		return errors.New("-hosts, -windows, -in-flight and -runs must be positive")
	}
	if b.config.Stacks < b.config.Services {
		return fmt.Errorf("-stacks must be at least %d", b.config.Services)
	}
	b.work = workload.New(b.config)
	length := time.Duration(b.windows) * workload.WindowSeconds * time.Second
	b.base = time.Now().Add(-length).Truncate(workload.WindowSeconds * time.Second)
	return nil
}

func (b *bench) start(window int) int64 {
	return b.base.Add(time.Duration(window) * workload.WindowSeconds * time.Second).UnixNano()
}

// enter makes the directories to work in. leave removes one that is temporary.
func (b *bench) enter(name string) (leave func(), err error) {
	if b.profiles != "" {
		if err := os.MkdirAll(b.profiles, 0o700); err != nil {
			return nil, err
		}
	}
	if b.dir != "" {
		return func() {}, nil
	}
	if b.dir, err = os.MkdirTemp("", name); err != nil {
		return nil, err
	}
	return func() { _ = os.RemoveAll(b.dir) }, nil // temporary
}

func (b *bench) run(ctx context.Context) error {
	if err := b.prepare(); err != nil {
		return err
	}
	if b.agent != "" && b.profiles == "" {
		return errors.New("-agent needs -profiles, which says where the profiles go")
	}
	leave, err := b.enter("strobe-bench")
	if err != nil {
		return err
	}
	defer leave()
	t := newTable(b)
	if b.via != "otlp" {
		if err := b.measure(ctx, t, filepath.Join(b.dir, "own"), b.pushOwn, true); err != nil {
			return err
		}
	}
	if b.via != "own" {
		err := b.measure(ctx, t, filepath.Join(b.dir, "otlp"), b.pushOTLP, b.via == "otlp")
		if errors.Is(err, errNoOTLP) {
			_, _ = fmt.Fprintln(b.out, "this collection agent does not take OTLP")
		} else if err != nil {
			return err
		} else if err := b.measure(ctx, t, filepath.Join(b.dir, "otlp with times"), b.pushOTLPTimes, false); err != nil {
			return err
		}
	}
	t.print(b.out)
	return nil
}

// measure sends the workload to a new server by one way, and asks the questions,
// once of what was just written and once after compaction.
func (b *bench) measure(ctx context.Context, t *table, dir string, push pusher, questions bool) error {
	s, err := b.serve(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { s.kill() }()
	stop := b.profile(s, filepath.Base(dir)+"-push")
	p, err := b.push(ctx, s.pid(), func(ctx context.Context, in func(int)) (int, error) { return push(ctx, s.grpc, in) })
	if err != nil {
		return err
	}
	stop()
	if p.bytes, err = size(dir); err != nil {
		return err
	}
	t.ingest(filepath.Base(dir), p)
	if err := t.parts("just written, "+filepath.Base(dir), dir, p.samples); err != nil {
		return err
	}
	if !questions {
		return nil
	}
	if err := b.ask(ctx, s, t, "fresh"); err != nil {
		return err
	}
	t.memory("fresh", s.peak())
	if err := s.stop(); err != nil {
		return err
	}
	c, err := b.compact(ctx, dir)
	if err != nil {
		return err
	}
	if c.bytes, err = size(dir); err != nil {
		return err
	}
	t.compaction(c, p.samples)
	if err := t.parts("after compaction", dir, p.samples); err != nil {
		return err
	}
	if s, err = b.serve(ctx, dir); err != nil {
		return err
	}
	stop = b.profile(s, "questions")
	if err := b.ask(ctx, s, t, "compacted"); err != nil {
		return err
	}
	stop()
	t.memory("compacted", s.peak())
	return s.stop()
}
