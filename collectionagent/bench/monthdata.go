// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"sync"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/auth"
	"github.com/strobe-profiler/strobe/collectionagent/bench/workload"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/embedded"
	"github.com/strobe-profiler/strobe/libpf"
)

// batchLength is the time of the samples that a host appends at once.
const batchLength = 6 * time.Hour

// generate fills a store, one day after the other: samples go the way of all samples,
// are merged, and those that are too old are dropped as retention does it, which leaves
// their sums.
func (m *month) generate(ctx context.Context, data string) (err error) {
	observations := m.config.PerSecond * workload.WindowSeconds
	perDay := int64(m.hosts) * int64(24*3600/workload.WindowSeconds) * int64(m.perWindow)
	m.say("%d days of %d hosts, thinned out: %d samples of each host in %d s stand for %d observations; %d samples of %d stacks in all.",
		m.days, m.hosts, m.perWindow, workload.WindowSeconds, observations, perDay*int64(m.days), m.config.Stacks)
	m.say("Of the last %d days samples stay, of those before only sums. Sums by service and stack have as many rows as of all observations, those by host fewer.", m.raw)
	const day = 24 * time.Hour
	s, err := embedded.Open(embedded.Config{Dir: data, Retention: store.Retention{Ages: store.Ages{
		Samples: time.Duration(m.raw) * day, Minutes: time.Duration(max(m.raw, 30)) * day, Hours: 400 * day,
	}}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	native := m.work.Native()
	began := time.Now()
	for at := m.begin(); at.Before(m.end); at = at.Add(day) {
		if err := m.day(ctx, s, native, at); err != nil {
			return err
		}
		if err := s.Maintain(ctx); err != nil {
			return err
		}
	}
	stats, err := s.Stats(ctx)
	if err != nil {
		return err
	}
	var bytes int64
	for _, n := range stats.Bytes {
		bytes += n
	}
	m.say("generated in %s: %d samples stay, %d MB on disk", time.Since(began).Round(time.Second), stats.Samples, bytes/1e6)
	return nil
}

// day appends a day of all hosts, some at a time.
func (m *month) day(ctx context.Context, s *embedded.Store, native *workload.Native, day time.Time) error {
	hosts := make(chan int)
	var mu sync.Mutex
	var first error
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for host := range hosts {
				for at := day; at.Before(day.Add(24 * time.Hour)); at = at.Add(batchLength) {
					if _, err := s.Append(ctx, m.batch(native, host, at)); err != nil {
						mu.Lock()
						first = errors.Join(first, fmt.Errorf("append of %s: %w", workload.HostName(host), err))
						mu.Unlock()
					}
				}
			}
		})
	}
	for host := range m.hosts {
		hosts <- host
	}
	close(hosts)
	workers.Wait()
	return first
}

// batch returns the samples of a host from a time on.
func (m *month) batch(native *workload.Native, host int, at time.Time) *store.Batch {
	sequence := at.Unix() / int64(batchLength/time.Second)
	r := rand.New(rand.NewSource(m.config.Seed + int64(host)<<32 + sequence)) //nolint:gosec // is to be the same each time
	b := &store.Batch{}                                                       // without identity: nobody repeats it
	for s, name := range m.work.Services {
		b.Series = append(b.Series, store.Series{
			Project: auth.DefaultProject, Type: libpf.SampleOnCPU, Service: name, HostID: workload.HostID(host), Host: workload.HostName(host),
			Namespace: "shop", Process: name, Executable: "/usr/bin/" + name, Comm: name, PID: libpf.PID(1000 + s), TID: libpf.TID(1000 + s), //nolint:gosec // small
		})
	}
	count := int64(m.config.PerSecond) * workload.WindowSeconds / int64(m.perWindow)
	for t := at; t.Before(at.Add(batchLength)); t = t.Add(workload.WindowSeconds * time.Second) {
		for range m.perWindow {
			service, stack := m.work.Draw(r)
			b.Samples = append(b.Samples, store.Sample{
				Time: libpf.UnixTimeNs(t.UnixNano()), Series: uint32(service), Stack: native.Hash(stack), //nolint:gosec // small
				Count: count, Value: count * workload.PeriodNs,
			})
		}
	}
	return b
}
