// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/bench/workload"
)

// soak is a long mixed load: samples at half of what the server can take, questions
// at a steady rate, merges and retention, all at once. The times of samples advance
// faster than the clock, so that windows of hours and days end in the run.
type soak struct {
	bench
	duration time.Duration
	every    time.Duration // between looks at the server
	rate     float64       // samples a second, 0: half of what was measured at the start
	queries  float64       // a second
	span     time.Duration // of the samples' times
	memory   int64         // MiB, of the server
	disk     int64         // MiB that the server may keep

	began time.Time
	// age is how long samples stay. One window in ten is sent so late that it is over
	// late after it was sent.
	age, late time.Duration
	sent      sent
	asked     questioned
}

// How the capacity is measured: so long at least, until so many heads were written, and
// about so long at most.
const (
	capacityLeast = 30 * time.Second
	capacityMost  = 2 * time.Minute
	capacityHeads = 3
)

// How the verdict is made.
const (
	lateShare     = 10              // one window of so many comes late
	maxGrowth     = 3.0             // MiB per minute of resident memory, in the last two thirds
	judgeGrowth   = 8 * time.Minute // the least duration of which growth says something
	memoryMargin  = 1.15            // of -memory
	leastShare    = 0.95            // of the rate that is to be sent
	mostWaiting   = 16              // flushed heads that wait to be merged at the end
	leastSpan     = 4 * time.Hour
	mostSpan      = 6 * 24 * time.Hour
	spanPerSecond = 200
	window2h      = 2 * time.Hour
)

// newSoak reads the flags.
func newSoak(args []string, out *os.File, usage io.Writer) (*soak, error) {
	s := &soak{bench: bench{config: workload.Default(), out: out}}
	fs := flag.NewFlagSet("soak", flag.ContinueOnError)
	fs.SetOutput(usage)
	fs.StringVar(&s.binary, "binary", "bin/collectionagent", "the collection agent to measure")
	fs.DurationVar(&s.duration, "duration", 30*time.Minute, "how long the load lasts")
	fs.DurationVar(&s.every, "every", 0, "time between looks at the server; 0: 10 s, less in a short run")
	fs.Float64Var(&s.rate, "rate", 0, "samples a second; 0: half of the capacity, which is measured first")
	fs.Float64Var(&s.queries, "queries", 10, "questions a second")
	fs.DurationVar(&s.span, "span", 0, "time that the samples' times advance in the run; 0: 200 s in each, from 4 h to 6 days")
	fs.IntVar(&s.hosts, "hosts", 4, "number of hosts that send")
	fs.IntVar(&s.inFlight, "in-flight", 4, "requests on their way at once")
	fs.IntVar(&s.config.Stacks, "stacks", s.config.Stacks, "distinct stacks")
	fs.Int64Var(&s.memory, "memory", 1024, "-memory of the server, MiB")
	fs.Int64Var(&s.disk, "retention-bytes", 512, "-retention-bytes of the server, MiB")
	fs.StringVar(&s.profiles, "profiles", "", "directory for CPU profiles of the server")
	fs.StringVar(&s.dir, "dir", "", "directory to work in; it stays. Default: a temporary one")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	return s, s.complete()
}

// complete checks the flags and fills in what follows from others.
func (s *soak) complete() error {
	switch {
	case s.hosts < 1 || s.inFlight < 1:
		return errors.New("-hosts and -in-flight must be positive")
	case s.duration < 10*time.Second:
		return errors.New("-duration must be at least 10s")
	case s.rate < 0 || s.queries <= 0:
		return errors.New("-rate must not be negative, -queries must be positive")
	case s.config.Stacks < s.config.Services:
		return fmt.Errorf("-stacks must be at least %d", s.config.Services)
	case s.span < 0 || (s.span > 0 && s.span < s.duration):
		return errors.New("-span must be at least -duration")
	}
	if s.every <= 0 {
		s.every = min(10*time.Second, s.duration/30)
	}
	if s.span == 0 {
		s.span = min(max(spanPerSecond*s.duration, leastSpan), mostSpan)
	}
	s.windows = 1
	return nil
}

// schedule decides which times samples have: those of the run end at the clock's, and
// a window of two hours, before which late ones lie, expires at a third of it: before
// there is so much that the oldest goes for want of room.
func (s *soak) schedule(now time.Time) {
	s.began = now
	s.late = min(5*time.Minute, s.duration/6)
	end := now.Add(-s.span).Truncate(window2h)
	s.age = now.Add(s.duration / 3).Sub(end).Truncate(time.Second)
}

// at returns the time of samples that are sent at a time.
func (s *soak) at(now time.Time, late bool) time.Time {
	if late {
		return now.Add(s.late - s.age)
	}
	speed := float64(s.span) / float64(s.duration)
	return s.began.Add(s.late - s.span + time.Duration(speed*float64(now.Sub(s.began))))
}

func (s *soak) run(ctx context.Context) error {
	leave, err := s.enter("strobe-soak")
	if err != nil {
		return err
	}
	defer leave()
	s.work = workload.New(s.config)
	s.schedule(time.Now())
	data := filepath.Join(s.dir, "data")
	age := s.age.String()
	server, err := s.serve(ctx, data, "-memory", fmt.Sprintf("%dMiB", s.memory), "-retention-bytes", fmt.Sprintf("%dMiB", s.disk),
		"-max-sample-age", age, "-retention", age, "-retention-minutes", age)
	if err != nil {
		return err
	}
	defer func() { server.kill() }()
	sender, err := s.newSender(ctx, server)
	if err != nil {
		return err
	}
	defer sender.close()
	rate, err := s.capacity(ctx, server, sender)
	if err != nil {
		return err
	}
	s.say("%.0f samples a second and %g questions a second for %s; their times advance by %s, samples stay %s or %d MiB",
		rate, s.queries, s.duration, s.span, age, s.disk)
	stop := s.profile(server, "soak")
	looks, err := s.load(ctx, server, sender, rate)
	if err != nil {
		return err
	}
	stop()
	return s.judge(ctx, server, data, rate, looks)
}

func (s *soak) say(format string, a ...any) { _, _ = fmt.Fprintf(s.out, format+"\n", a...) }

// capacity returns the rate of the load: half of what the server takes in, writes as
// blocks and merges, if no rate was given. For a while it is sent as fast as it goes,
// which is faster than blocks are merged; the time until nothing waits any more
// counts, and what is in memory at the end does not.
func (s *soak) capacity(ctx context.Context, server *server, sender *sender) (float64, error) {
	if s.rate > 0 {
		return s.rate, nil
	}
	began, busy := time.Now(), cpu(server.pid())
	var now metrics
	for done := false; !done; {
		sender.run(ctx, time.Now().Add(min(capacityLeast, s.duration/6)), 0)
		var err error
		if now, err = scrape(ctx, server); err != nil {
			return 0, err
		}
		done = now.sum("store_flushes_total") >= capacityHeads || time.Since(began) > capacityMost
	}
	taken := float64(s.sent.samples()) / time.Since(began).Seconds()
	for now.sum("store_backlog_blocks") > 0 {
		if time.Since(began) > 5*capacityMost {
			return 0, errors.New("blocks are not merged in time")
		}
		if !sleep(ctx, 200*time.Millisecond) {
			return 0, ctx.Err()
		}
		var err error
		if now, err = scrape(ctx, server); err != nil {
			return 0, err
		}
	}
	elapsed, used := time.Since(began), cpu(server.pid())-busy
	samples := now.sum("store_flushed_rows_total")
	capacity := samples / elapsed.Seconds()
	if capacity == 0 {
		return 0, errors.Join(errors.New("too little could be sent to measure how much the server can take; give -rate"), s.sent.first())
	}
	s.say("capacity, this program beside the server: %.0f samples a second taken in, written and merged in the same time, %.2f CPU s per million (%.0f taken in)",
		capacity, used.Seconds()/samples*1e6, taken)
	return capacity / 2, nil
}

// load sends and asks until the time is over, and looks at the server meanwhile.
func (s *soak) load(ctx context.Context, server *server, sender *sender, rate float64) (looks []look, err error) {
	s.sent.mark()
	began := time.Now()
	s.began = began
	end := began.Add(s.duration)
	var parts sync.WaitGroup
	parts.Go(func() { sender.run(ctx, end, rate) })
	parts.Go(func() { s.ask(ctx, server, end) })
	defer parts.Wait()
	s.say("\n| s | CPU server / driver | resident MB | head MB | blocks, of them waiting | blocks MB, waiting | disk MB | expired samples | samples sent | questions | errors |\n%s",
		"| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	busy, driver, before := cpu(server.pid()), cpu(os.Getpid()), time.Duration(0)
	for tick := time.NewTicker(s.every); time.Until(end) > 0; {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
		l, err := s.look(ctx, server, time.Since(began))
		if err != nil {
			return nil, fmt.Errorf("look at the server: %w", err)
		}
		looks = append(looks, l)
		here, own := cpu(server.pid()), cpu(os.Getpid())
		elapsed := (l.at - before).Seconds()
		s.say("| %.0f | %.2f / %.2f | %.0f | %.0f | %.0f, %.0f | %.0f, %.0f | %.0f | %.0f | %d | %d | %d |", l.at.Seconds(), (here-busy).Seconds()/elapsed, (own-driver).Seconds()/elapsed,
			float64(l.resident)/1e6, l.headBytes/1e6, l.blocks, l.metrics.sum("store_backlog_blocks"),
			l.blockBytes/1e6, l.metrics.sum("store_backlog_bytes")/1e6, float64(l.disk)/1e6, l.expired, s.sent.samples(), s.asked.answered(), s.sent.failures()+s.asked.failures())
		busy, driver, before = here, own, l.at
	}
	return looks, nil
}
