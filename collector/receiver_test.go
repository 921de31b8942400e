// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package collector

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/consumer/xconsumer"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/goleak"

	"github.com/strobe-profiler/strobe/internal/sampling"
	"github.com/strobe-profiler/strobe/internal/sampling/samplingtest"
	"github.com/strobe-profiler/strobe/libpf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeOptions are those of a receiver that samples fake instead of the host.
func fakeOptions(fake *samplingtest.Fake) options {
	return options{newTracer: fake.New, probe: func() []sampling.Capability { return nil }, sampled: &claim{}}
}

func newReceiver(t *testing.T, o options, next xconsumer.Profiles) *profiler {
	t.Helper()
	cfg := defaultConfig()
	cfg.HostName, cfg.HostID = "host", "host-id"
	r, err := o.create(t.Context(), receivertest.NewNopSettings(Type), cfg, next)
	if err != nil {
		t.Fatal(err)
	}
	return r.(*profiler) //nolint:forcetypeassert // a test
}

func start(t *testing.T, r *profiler, host component.Host) {
	t.Helper()
	begun := time.Now()
	if err := r.Start(t.Context(), host); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > 0 {
		t.Errorf("Start took %v", took) // in the time of synctest, where only waiting takes any
	}
}

// shutdown shuts down, twice, and checks the error and that all samples are accounted for.
func shutdown(t *testing.T, r *profiler, within time.Duration, wantErr string, dropped map[string]uint64) {
	t.Helper()
	begun := time.Now()
	err := r.Shutdown(t.Context())
	if took := time.Since(begun); took > within {
		t.Errorf("Shutdown took %v", took)
	}
	if got := errorText(err); wantErr == "" && got != "" || !strings.Contains(got, wantErr) {
		t.Errorf("Shutdown: %q, want %q", got, wantErr)
	}
	if err := r.Shutdown(t.Context()); err != nil {
		t.Errorf("second Shutdown: %v", err)
	}
	l := r.batches.Ledger()
	sum := l.Stored + l.Queued
	for _, n := range l.Dropped {
		sum += n
	}
	if sum != l.Captured {
		t.Errorf("of %d samples %d are accounted for: %+v", l.Captured, sum, l)
	}
	if len(dropped)+len(l.Dropped) > 0 {
		if diff := cmp.Diff(dropped, l.Dropped); diff != "" {
			t.Errorf("dropped (-want +got):\n%s", diff)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func samples(n int) []*libpf.Sample {
	out := make([]*libpf.Sample, n)
	for i := range out {
		out[i] = samplingtest.Sample(7, "app", "leaf", "root")
		out[i].Time += libpf.UnixTimeNs(i)
	}
	return out
}

func consumer(t *testing.T, f func(context.Context, pprofile.Profiles) error) xconsumer.Profiles {
	t.Helper()
	c, err := xconsumer.NewProfiles(f)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDelivery(t *testing.T) {
	t.Parallel()
	refusal := errors.New("not now")
	for name, test := range map[string]struct {
		// next is called with the number of the call.
		next    func(ctx context.Context, call int) error
		runs    time.Duration
		within  time.Duration
		wantErr string
		stored  uint64
		dropped map[string]uint64
	}{
		"taken":            {next: func(context.Context, int) error { return nil }, runs: 10 * time.Second, stored: 5},
		"ended at once":    {next: func(context.Context, int) error { return nil }, stored: 5},
		"refused for good": {next: func(context.Context, int) error { return consumererror.NewPermanent(refusal) }, runs: 10 * time.Second, dropped: map[string]uint64{"rejected": 5}},
		"refused for now": {next: func(_ context.Context, call int) error {
			if call < 4 {
				return refusal
			}
			return nil
		}, runs: time.Minute, stored: 5},
		"refused for ever": {next: func(context.Context, int) error { return refusal }, runs: 10 * time.Minute, within: shutdownTimeout,
			dropped: map[string]uint64{"undelivered": 3, "shutdown": 2}},
		"slow": {next: func(ctx context.Context, _ int) error {
			<-ctx.Done()
			return ctx.Err()
		}, runs: time.Minute, within: shutdownTimeout, dropped: map[string]uint64{"shutdown": 5}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				fake := &samplingtest.Fake{Samples: samples(3), Last: samples(2)}
				calls := 0
				r := newReceiver(t, fakeOptions(fake), consumer(t, func(ctx context.Context, p pprofile.Profiles) error {
					calls++
					err := test.next(ctx, calls)
					p.ResourceProfiles().RemoveIf(func(pprofile.ResourceProfiles) bool { return true }) // it is ours
					return err
				}))
				start(t, r, componenttest.NewNopHost())
				synctest.Wait()
				time.Sleep(test.runs)
				shutdown(t, r, test.within, test.wantErr, test.dropped)
				if stored := r.batches.Ledger().Stored; stored != test.stored {
					t.Errorf("%d samples were delivered, want %d", stored, test.stored)
				}
			})
		})
	}
}

func TestShutdownWithoutStart(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, fakeOptions(&samplingtest.Fake{}), consumertest.NewNop())
	for range 2 {
		if err := r.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := r.Start(t.Context(), componenttest.NewNopHost()); err == nil {
		t.Error("started after the end")
	}
}

func TestConcurrentShutdown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink := &consumertest.ProfilesSink{}
		r := newReceiver(t, fakeOptions(&samplingtest.Fake{Samples: samples(1)}), sink)
		start(t, r, componenttest.NewNopHost())
		synctest.Wait()
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if err := r.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
				if n := sink.SampleCount(); n != 1 {
					t.Errorf("Shutdown returned when %d samples had been handed on", n)
				}
			})
		}
		all.Wait()
	})
}

// TestShutdownWhileLoading ends a receiver that is loading its programs.
func TestShutdownWhileLoading(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		loading time.Duration
		wantErr string
	}{
		"for a second": {time.Second, ""},
		"for ever":     {time.Hour, "the sampling of the host has not ended"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				fake := &samplingtest.Fake{}
				o := fakeOptions(fake)
				o.newTracer = func(cfg sampling.Config) (sampling.Tracer, error) {
					time.Sleep(test.loading)
					return fake.New(cfg)
				}
				r := newReceiver(t, o, consumertest.NewNop())
				start(t, r, componenttest.NewNopHost())
				shutdown(t, r, sampledTimeout+graceTimeout, test.wantErr, nil)
				// Whatever still samples keeps the next receiver out.
				err := o.sampled.take("next")
				if (err != nil) != (test.wantErr != "") {
					t.Errorf("the next receiver: %v", err)
				}
				time.Sleep(test.loading)
			})
		})
	}
}

// TestHangingConsumer hands samples to a component that heeds no context.
func TestHangingConsumer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := newReceiver(t, fakeOptions(&samplingtest.Fake{Samples: samples(1)}), consumer(t, func(context.Context, pprofile.Profiles) error {
			<-release
			return nil
		}))
		start(t, r, componenttest.NewNopHost())
		time.Sleep(10 * time.Second)
		shutdown(t, r, shutdownTimeout+graceTimeout, "the next component of the pipeline has not returned", nil)
		close(release)
	})
}

func TestOneReceiverPerHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := fakeOptions(&samplingtest.Fake{})
		first, second, third := newReceiver(t, o, consumertest.NewNop()), newReceiver(t, o, consumertest.NewNop()), newReceiver(t, o, consumertest.NewNop())
		second.set.ID = component.NewIDWithName(Type, "second")
		start(t, first, componenttest.NewNopHost())
		err := second.Start(t.Context(), componenttest.NewNopHost())
		for _, want := range []string{first.set.ID.String() + " samples this host already", "strobe/second"} {
			if !strings.Contains(errorText(err), want) {
				t.Errorf("error %v lacks %q", err, want)
			}
		}
		if err := second.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := first.Start(t.Context(), componenttest.NewNopHost()); err == nil {
			t.Error("started twice")
		}
		shutdown(t, first, 0, "", nil)
		start(t, third, componenttest.NewNopHost())
		shutdown(t, third, 0, "", nil)
	})
}

// statusHost remembers what a component says of itself.
type statusHost struct {
	mu     sync.Mutex
	events []*componentstatus.Event
}

func (*statusHost) GetExtensions() map[component.ID]component.Component { return nil }

// Report implements componentstatus.Reporter.
func (h *statusHost) Report(e *componentstatus.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

func (h *statusHost) statuses() (all []componentstatus.Status, last error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		all, last = append(all, e.Status()), e.Err()
	}
	return all, last
}

func TestStatus(t *testing.T) {
	t.Parallel()
	const (
		ok        = componentstatus.StatusOK
		permanent = componentstatus.StatusPermanentError
		retried   = componentstatus.StatusRecoverableError
	)
	for name, test := range map[string]struct {
		newErrs []error // of the first attempts
		runErr  error
		lacks   []sampling.Capability
		want    []componentstatus.Status
		wantErr string
	}{
		"good": {want: []componentstatus.Status{ok}},
		"lacks what is required": {
			newErrs: []error{errors.New("load programs: operation not permitted")},
			lacks:   []sampling.Capability{{Name: "eBPF programs", Required: true, Detail: "operation not permitted", Fix: "run as root"}},
			want:    []componentstatus.Status{permanent}, wantErr: "run as root",
		},
		"lacks something else": {
			newErrs: []error{errors.New("out of memory"), errors.New("out of memory")},
			lacks:   []sampling.Capability{{Name: "PMU", Effect: "less"}},
			want:    []componentstatus.Status{retried, retried, ok},
		},
		"stops": {runErr: errors.New("broken"), want: []componentstatus.Status{retried, retried, retried}, wantErr: "cannot profile this host: broken"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				fake, host, attempt := &samplingtest.Fake{RunErr: test.runErr}, &statusHost{}, 0
				o := fakeOptions(fake)
				o.newTracer = func(cfg sampling.Config) (sampling.Tracer, error) {
					attempt++
					if attempt <= len(test.newErrs) {
						return nil, test.newErrs[attempt-1]
					}
					return fake.New(cfg)
				}
				o.probe = func() []sampling.Capability { return test.lacks }
				r := newReceiver(t, o, consumertest.NewNop())
				start(t, r, host)
				time.Sleep(minPause + 2*minPause + time.Second)
				got, err := host.statuses()
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if !strings.Contains(errorText(err), test.wantErr) {
					t.Errorf("the last status has error %v, want %q", err, test.wantErr)
				}
				shutdown(t, r, 0, "", nil)
			})
		})
	}
}
