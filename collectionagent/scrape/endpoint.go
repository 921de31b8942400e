// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/google/pprof/profile"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/strobe-profiler/strobe/collectionagent/ingest"
	"github.com/strobe-profiler/strobe/collectionagent/pprof"
)

// endpoint is a profile of a target at work. Its goroutine is the only one that uses
// before and held.
type endpoint struct {
	scraper *Scraper
	spec    spec
	labels  map[string]string
	stop    context.CancelFunc
	done    chan struct{}

	before *counted
	held   *held // of before

	mu   sync.Mutex
	last lastScrape
	next time.Time
}

// lastScrape is what the last scrape came to.
type lastScrape struct {
	began    time.Time
	duration time.Duration
	err      error
	note     string // what was not stored
	samples  int
	bytes    int64
}

// start starts the goroutine of an endpoint. What another one knew goes on with it.
func (s *Scraper) start(ctx context.Context, sp spec, old *endpoint) *endpoint {
	e := &endpoint{scraper: s, spec: sp, labels: sp.labelMap(), done: make(chan struct{})}
	if old != nil {
		e.last = old.last
		if old.spec.delta == sp.delta && old.spec.keep == sp.keep {
			e.before, e.held = old.before, old.held
		} else {
			old.forget()
		}
	}
	ctx, e.stop = context.WithCancel(ctx)
	go func() {
		defer close(e.done)
		e.run(ctx)
	}()
	return e
}

// forget gives back what the endpoint holds. Its goroutine has ended.
func (e *endpoint) forget() {
	if e.held != nil {
		e.held.release()
	}
	e.before, e.held = nil, nil
}

// run scrapes at every turn until the context ends.
func (e *endpoint) run(ctx context.Context) {
	for turn := e.spec.next(time.Now()); ; {
		e.mu.Lock()
		e.next = turn
		e.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(turn)):
		}
		e.turn(ctx)
		if ctx.Err() != nil {
			return
		}
		now := time.Now()
		if now.Before(turn) { // clocks that are corrected run at another pace
			now = turn
		}
		next := e.spec.next(now)
		if missed := next.Sub(turn)/e.spec.interval - 1; missed > 0 {
			e.scraper.metrics.skipped.WithLabelValues("late").Add(float64(missed))
		}
		turn = next
	}
}

// turn scrapes once, if not too many requests are open.
func (e *endpoint) turn(ctx context.Context) {
	select {
	case e.scraper.open <- struct{}{}:
		defer func() { <-e.scraper.open }()
	default:
		e.scraper.metrics.skipped.WithLabelValues("busy").Inc()
		return
	}
	l := lastScrape{began: time.Now()}
	within, cancel := context.WithTimeout(ctx, time.Duration(e.spec.seconds)*time.Second+e.spec.timeout)
	defer cancel()
	l.err = e.scrape(within, &l)
	if ctx.Err() != nil {
		return // the end of the endpoint says nothing about the target
	}
	l.duration = time.Since(l.began)
	e.mu.Lock()
	e.last = l
	e.mu.Unlock()
	m := e.scraper.metrics
	m.seconds.WithLabelValues(e.spec.profile).Observe(l.duration.Seconds())
	result, reason := "stored", ""
	var f *failure
	switch {
	case errors.As(l.err, &f):
		result, reason = "failed", f.reason
	case l.err != nil:
		result, reason = "failed", "internal"
	case l.note != "":
		result, reason = "partial", "refused"
	}
	m.scrapes.WithLabelValues(result, reason).Inc()
}

// scrape fetches the profile and stores it.
func (e *endpoint) scrape(ctx context.Context, l *lastScrape) (err error) {
	s := e.scraper
	defer func() {
		if cause := recover(); cause != nil {
			s.logger.Error("scrape ended in a panic", "url", e.spec.where, "panic", cause, "stack", string(debug.Stack()))
			err = &failure{"panic", errors.New("internal error, see the log")}
		}
	}()
	memory := s.reading.hold()
	defer memory.release()
	limit := int64(s.options.Ingest.MaxRequestBytes())
	if e.spec.bodyLimit > 0 {
		limit = min(limit, e.spec.bodyLimit)
	}
	body, err := fetch(ctx, &e.spec, limit, memory.take)
	if err != nil {
		return err
	}
	l.bytes = int64(len(body))
	s.metrics.bytes.Add(float64(l.bytes))
	select {
	case s.working <- struct{}{}:
		defer func() { <-s.working }()
	case <-ctx.Done():
		return &failure{"busy", errors.New("the server had too much to do")}
	}
	return e.store(ingest.WithProject(ctx, e.spec.project), body, l)
}

// store stores a profile that was fetched.
func (e *endpoint) store(ctx context.Context, body []byte, l *lastScrape) error {
	in := e.scraper.options.Ingest
	ctx, end, err := in.Begin(ctx, false)
	if err != nil {
		return refusal(err)
	}
	defer end()
	in.Read(ctx, len(body), len(body))
	p, err := pprof.Parse(ctx, in, "profile", body)
	if err != nil {
		return refusal(in.Refuse(err))
	}
	l.samples = len(p.Sample)
	if err := selectTypes(p, &e.spec); err != nil {
		return &failure{"refused", err}
	}
	told := false // whether the differences need not be told again
	if e.spec.delta {
		settle, err := e.subtract(p)
		if err != nil {
			return err
		}
		defer func() { settle(told) }() // after a panic, too
	}
	if len(p.Sample) == 0 {
		told = true
		return nil
	}
	p.TimeNanos = l.began.UnixNano() // the clock of the target may be wrong
	result, err := pprof.Export(ctx, in, p, &pprof.Source{Labels: e.labels, Kind: pprof.KindOf(e.spec.kind)})
	if err != nil {
		f := refusal(err)
		told = f.reason != "busy" // else the next difference is one to what was stored
		return f
	}
	told = true
	l.note = result.Message
	if !result.Stored {
		return &failure{"refused", errors.New(result.Message)}
	}
	return nil
}

// refusal returns why the ingest did not take a profile.
func refusal(err error) *failure {
	f := &failure{"invalid", fmt.Errorf("the profile cannot be stored: %s", status.Convert(err).Message())}
	switch status.Code(err) {
	case codes.Unavailable, codes.ResourceExhausted, codes.Canceled, codes.DeadlineExceeded:
		f.reason = "busy"
	case codes.Internal:
		f.reason = "internal"
	}
	return f
}

// subtract leaves in the profile the differences to the scrape before. It returns what
// to call once it is known whether they need not be told again.
func (e *endpoint) subtract(p *profile.Profile) (settle func(told bool), err error) {
	now, result := subtract(p, e.before)
	if result == resets {
		e.scraper.metrics.restarts.WithLabelValues(e.spec.profile).Inc()
	}
	held := e.scraper.kept.hold()
	if err := held.take(now.bytes()); err != nil {
		return nil, err
	}
	return func(told bool) {
		// What was before a start of the target is of no use, whatever becomes of the rest.
		if told || result != differs {
			e.forget()
			e.before, e.held = now, held
			return
		}
		held.release()
	}, nil
}

// target returns the status.
func (e *endpoint) target() Target {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := Target{
		Job: e.spec.job, Instance: e.spec.instance, Profile: e.spec.profile, URL: e.spec.where, Labels: e.labels,
		State: Unknown, Last: e.last.began, Duration: e.last.duration, Error: e.last.note, Next: e.next, Interval: e.spec.interval,
		Samples: e.last.samples, Bytes: e.last.bytes,
	}
	switch {
	case e.last.err != nil:
		t.State, t.Error = Down, shown(e.last.err)
	case !e.last.began.IsZero():
		t.State = Up
	}
	return t
}
