// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/strobe-profiler/strobe/collectionagent/bench/workload"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
	"github.com/strobe-profiler/strobe/proto/zstdgrpc"
)

// maxRepeats is how often a polite refusal is answered by asking again.
const maxRepeats = 20

// tally counts what became of requests. It is safe for concurrent use.
type tally struct {
	mu      sync.Mutex
	n       int64
	failed  int64
	refused int64 // and repeated
	errs    []error
	times   []int
}

func (t *tally) refuse() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refused++
}

func (t *tally) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed++
	if len(t.errs) < 5 {
		t.errs = append(t.errs, err)
	}
}

func (t *tally) failures() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}

func (t *tally) first() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return errors.Join(t.errs...)
}

// sent is what was sent and acknowledged.
type sent struct {
	tally
	weight map[int]uint64 // observations by host
	marked int64          // samples before the load
	behind time.Duration  // most that a request was late
}

func (t *sent) samples() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}

// mark forgets what was measured before the load, but not what was acknowledged.
func (t *sent) mark() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.marked, t.times, t.refused = t.n, nil, 0
}

// sender sends windows of all hosts, in turn.
type sender struct {
	soak   *soak
	conn   *grpc.ClientConn
	client pb.CollectionAgentClient
	native *workload.Native
	next   atomic.Int64
	ready  []readyWindow
}

// readyWindows is how many windows are made before the load, and sent again and again, so
// that this program leaves the processors to the server.
const readyWindows = 64

type readyWindow struct {
	request               *pb.AddCountsForTracesRequest
	samples, observations int
}

// newSender connects and defines what samples refer to.
func (s *soak) newSender(ctx context.Context, server *server) (*sender, error) {
	conn, err := dial(server.grpc, grpc.UseCompressor(zstdgrpc.Name))
	if err != nil {
		return nil, err
	}
	out := &sender{soak: s, conn: conn, client: pb.NewCollectionAgentClient(conn), native: s.work.Native()}
	for host := range s.hosts {
		if err := define(ctx, out.client, out.native, host, func(int) {}); err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("define what %s sends: %w", workload.HostName(host), err)
		}
	}
	for i := range readyWindows {
		var w readyWindow
		w.request, w.samples, w.observations = out.native.Counts(i%s.hosts, i/s.hosts, 0)
		out.ready = append(out.ready, w)
	}
	s.sent.weight = make(map[int]uint64)
	return out, nil
}

func (d *sender) close() { _ = d.conn.Close() }

// run sends until a time, at a rate in samples a second, 0: as fast as it goes.
func (d *sender) run(ctx context.Context, end time.Time, rate float64) {
	s := d.soak
	began, before := time.Now(), s.sent.samples()
	var due atomic.Int64 // samples that were to be sent so far
	due.Store(before)
	var workers sync.WaitGroup
	for range s.inFlight {
		workers.Go(func() {
			for time.Now().Before(end) && ctx.Err() == nil {
				n := int(d.next.Add(1) - 1)
				host, window := n%s.hosts, n/s.hosts
				w := &d.ready[n%len(d.ready)]
				samples, observations := w.samples, w.observations
				if rate > 0 {
					at := began.Add(time.Duration(float64(due.Add(int64(samples))-int64(samples)-before) / rate * float64(time.Second)))
					if !at.Before(end) {
						return
					}
					s.sent.lag(time.Since(at))
					if !sleep(ctx, time.Until(at)) {
						return
					}
				}
				late := rate > 0 && n%lateShare == 0
				r := workload.Again(w.request, host, window, s.at(time.Now(), late).UnixNano())
				d.send(ctx, r, host, samples, observations)
			}
		})
	}
	workers.Wait()
}

func (t *sent) lag(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.behind = max(t.behind, d)
}

// sleep reports whether the time passed before the context ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// send sends a window until it is acknowledged, as an agent does.
func (d *sender) send(ctx context.Context, r *pb.AddCountsForTracesRequest, host, samples, observations int) {
	t := &d.soak.sent
	for try := 0; ; try++ {
		began := time.Now()
		answer, err := d.client.AddCountsForTraces(ctx, r)
		if wait, ok := politeGRPC(err); ok && try < maxRepeats {
			t.refuse()
			if sleep(ctx, wait) {
				continue
			}
		}
		if err == nil && len(answer.UnknownStacks) > 0 {
			err = fmt.Errorf("%d stacks are not known", len(answer.UnknownStacks))
		}
		if err != nil {
			t.fail(fmt.Errorf("send: %w", err))
			return
		}
		t.mu.Lock()
		t.n += int64(samples)
		t.weight[host] += uint64(observations) //nolint:gosec // not negative
		t.times = append(t.times, int(time.Since(began)))
		t.mu.Unlock()
		return
	}
}

// politeGRPC reports whether a request was refused for now, and for how long.
func politeGRPC(err error) (time.Duration, bool) {
	st, ok := status.FromError(err)
	if err == nil || !ok || (st.Code() != codes.ResourceExhausted && st.Code() != codes.Unavailable) {
		return 0, false
	}
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration(), true
		}
	}
	return 0, false
}

// questioned is what was asked and answered.
type questioned struct {
	tally
	byName map[string][]int
}

func (t *questioned) answered() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}

// maxWaiting bounds questions that wait for an answer. More mean that the server
// does not keep up, which counts as an error.
const maxWaiting = 64

// ask asks at a steady rate until a time, whether answers come or not.
func (s *soak) ask(ctx context.Context, server *server, end time.Time) {
	s.asked.byName = make(map[string][]int)
	tick := time.NewTicker(time.Duration(float64(time.Second) / s.queries))
	defer tick.Stop()
	var waiting atomic.Int64
	var all sync.WaitGroup
	defer all.Wait()
	for n := 0; time.Now().Before(end); n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		name, path := s.question(n)
		if waiting.Load() >= maxWaiting {
			s.asked.fail(fmt.Errorf("%s: not asked, %d questions wait for an answer", name, maxWaiting))
			continue
		}
		waiting.Add(1)
		all.Go(func() {
			defer waiting.Add(-1)
			began := time.Now()
			if err := s.askOnce(ctx, server.http+path); err != nil {
				s.asked.fail(fmt.Errorf("%s: %w", name, err))
				return
			}
			s.asked.mu.Lock()
			defer s.asked.mu.Unlock()
			s.asked.n++
			s.asked.byName[name] = append(s.asked.byName[name], int(time.Since(began)))
		})
	}
}

// question returns the n-th question: all kinds in turn, each over several ranges
// that end with what was sent last.
func (s *soak) question(n int) (name, path string) {
	now := s.at(time.Now(), false)
	ranges := []time.Duration{5 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour, s.age}
	one := `{service="` + s.work.Services[oneService] + `"}`
	kinds := []struct {
		name, path string
		more       url.Values
	}{
		{"flame graph, all services", "flamegraph", url.Values{"max_nodes": {"16384"}}},
		{"flame graph, one service", "flamegraph", url.Values{"max_nodes": {"16384"}, "query": {one}}},
		{"timeline by service", "timeline", url.Values{"by": {"service"}, "limit": {"100"}}},
		{"timeline, one service", "timeline", url.Values{"query": {one}}},
		{"top, one service", "top", url.Values{"query": {one}}},
		{"diff, one service", "diff", url.Values{"max_nodes": {"16384"}, "query": {one}}},
		{"labels", "labels", nil},
		{"label values", "labels/service/values", nil},
		{"profile types", "types", nil},
	}
	k := kinds[n%len(kinds)]
	length := ranges[n/len(kinds)%len(ranges)]
	at := func(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
	values := url.Values{"from": {at(now.Add(-length))}, "to": {at(now)}}
	switch k.path {
	case "types":
	case "timeline":
		values.Set("step", max(15*time.Second, (length/240).Truncate(15*time.Second)).String())
		fallthrough
	default:
		values.Set("type", "on_cpu")
	}
	if k.path == "diff" {
		values.Set("base_from", at(now.Add(-length)))
		values.Set("base_to", at(now.Add(-length/2)))
		values.Set("from", at(now.Add(-length/2)))
	}
	maps.Copy(values, k.more)
	return k.name, "/api/v1/" + k.path + "?" + values.Encode()
}

// askOnce asks, and again when the server says when to.
func (s *soak) askOnce(ctx context.Context, address string) error {
	for try := 0; ; try++ {
		wait, err := answer(ctx, address)
		if err == nil || wait == 0 || try == maxRepeats {
			return err
		}
		s.asked.refuse()
		if !sleep(ctx, wait) {
			return ctx.Err()
		}
	}
}

// answer asks once. wait is how long to wait until the question may be repeated, 0: not.
func answer(ctx context.Context, address string) (wait time.Duration, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, err
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer a.Body.Close() //nolint:errcheck // read only
	if a.StatusCode == http.StatusOK {
		_, err := io.Copy(io.Discard, a.Body)
		return 0, err
	}
	text, _ := io.ReadAll(io.LimitReader(a.Body, 300))
	seconds, _ := strconv.Atoi(a.Header.Get("Retry-After"))
	return time.Duration(seconds) * time.Second, fmt.Errorf("%s: %s", a.Status, text)
}
