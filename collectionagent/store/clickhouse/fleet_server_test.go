// SPDX-License-Identifier: Apache-2.0

package clickhouse_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/storetest"
	"github.com/strobe-profiler/strobe/libpf"
)

// fleet is agents that send batches to several stores: each batch until it is
// acknowledged, to another store after every failure.
type fleet struct {
	agents, batches, samples int
	acknowledged, failed     atomic.Int64
	// lastError is why a batch failed last.
	lastError atomic.Pointer[error]
}

// batch returns a batch of an agent, always the same one. Its stacks are its own.
func (f *fleet) batch(agent, seq int) *store.Batch {
	b := &store.Batch{
		ID: store.BatchID{
			Project: "default", HostID: hostOf(agent), RunID: [16]byte{1, byte(agent)}, Type: store.BatchSamples, Sequence: uint64(seq),
		},
		Series: []store.Series{
			{Project: "default", Type: libpf.SampleOnCPU, Service: "web", Host: hostOf(agent), HostID: hostOf(agent), PID: 1, TID: 1},
			{Project: "default", Type: libpf.SampleOnCPU, Service: "db", Host: hostOf(agent), HostID: hostOf(agent), PID: 2, TID: 2},
		},
	}
	for i := range f.samples {
		b.Samples = append(b.Samples, store.Sample{
			Time: storetest.Base + libpf.UnixTimeNs(seq)*libpf.UnixTimeNs(time.Second) + libpf.UnixTimeNs(i)*libpf.UnixTimeNs(time.Millisecond),
			// Two batches share a series and times, but no stacks.
			Series: uint32(i % 2), Stack: libpf.NewTraceHash(uint64(agent)<<32|uint64(seq), uint64(i%3)), Count: 2, Value: 10,
		})
	}
	return b
}

// definitions returns what an agent defines together with a batch.
func (f *fleet) definitions(agent, seq int) *store.Definitions {
	frames := []libpf.Frame{{Type: libpf.NativeFrame, FileID: libpf.NewFileID(1, uint64(agent)), AddressOrLineno: libpf.AddressOrLineno(seq)}}
	return &store.Definitions{
		ID: store.BatchID{
			Project: "default", HostID: hostOf(agent), RunID: [16]byte{1, byte(agent)}, Type: store.BatchStacks, Sequence: uint64(seq),
		},
		Project: "default", Stacks: []store.Stack{{Hash: libpf.HashTrace(frames), Frames: frames}},
	}
}

func hostOf(agent int) string { return "host" + string(rune('a'+agent)) }

// send sends everything and returns when all of it is acknowledged.
func (f *fleet) send(t *testing.T, stores ...store.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for agent := range f.agents {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(agent), 7))
			for seq := 1; seq <= f.batches; seq++ {
				if rnd.IntN(4) == 0 && !f.retry(ctx, t, rnd, stores, func(ctx context.Context, s store.Store) error {
					_, err := s.Put(ctx, f.definitions(agent, seq))
					return err
				}) {
					return
				}
				if !f.retry(ctx, t, rnd, stores, func(ctx context.Context, s store.Store) error {
					_, err := s.Append(ctx, f.batch(agent, seq))
					return err
				}) {
					return
				}
				f.acknowledged.Add(1)
				f.again(ctx, t, rnd, stores, f.batch(agent, 1+rnd.IntN(seq)))
			}
		})
	}
	wg.Wait()
}

// retry does something until a store acknowledges it, as hastily as no agent does.
func (f *fleet) retry(ctx context.Context, t *testing.T, rnd *rand.Rand, stores []store.Store, do func(context.Context, store.Store) error) bool {
	for at := rnd.IntN(len(stores)); ; at++ {
		var err error
		switch rnd.IntN(6) {
		case 0: // the agent does not wait for the answer
			hasty, cancel := context.WithTimeout(ctx, time.Duration(rnd.IntN(20_000))*time.Microsecond)
			err = do(hasty, stores[at%len(stores)])
			cancel()
		case 1: // the agent repeats it elsewhere while the first store is still at it
			errs := make([]error, len(stores))
			var wg sync.WaitGroup
			for i, s := range stores {
				wg.Go(func() { errs[i] = do(ctx, s) })
			}
			wg.Wait()
			for _, e := range errs {
				if err = e; e == nil {
					break
				}
			}
		default:
			err = do(ctx, stores[at%len(stores)])
		}
		if err == nil {
			return true
		}
		if errors.Is(err, store.ErrInvalid) || ctx.Err() != nil {
			t.Errorf("batch is not acknowledged: %v; last failure: %v", err, f.failure())
			return false
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			f.failed.Add(1)
			f.lastError.Store(&err)
		}
		time.Sleep(time.Duration(rnd.IntN(50)) * time.Millisecond) // as an agent waits
	}
}

// failure returns why a batch failed last.
func (f *fleet) failure() error {
	if err := f.lastError.Load(); err != nil {
		return *err
	}
	return nil
}

// again sends a batch that was acknowledged to any store.
func (f *fleet) again(ctx context.Context, t *testing.T, rnd *rand.Rand, stores []store.Store, b *store.Batch) {
	if rnd.IntN(4) > 0 {
		return
	}
	duplicate, err := stores[rnd.IntN(len(stores))].Append(ctx, b)
	if err == nil && !duplicate {
		t.Errorf("batch %d of %s was acknowledged and is taken for new", b.ID.Sequence, b.ID.HostID)
	}
}

// check compares what a store holds with what was sent: each batch once, whatever
// the answer is made from, and the same in the ledgers.
func (f *fleet) check(t *testing.T, what string, s store.Store) {
	t.Helper()
	q := &store.Query{Project: "default", Type: libpf.SampleOnCPU, From: math.MinInt64, To: math.MaxInt64, ByStack: true}
	got := make(map[uint64]int64)
	if _, err := s.Select(t.Context(), q, func(r *store.Row) bool { got[r.Stack.Hi()] += r.Count; return true }); err != nil {
		t.Fatalf("%s: select: %v", what, err)
	}
	weight := int64(2 * f.samples)
	for agent := range f.agents {
		for seq := 1; seq <= f.batches; seq++ {
			if n := got[uint64(agent)<<32|uint64(seq)]; n != weight {
				t.Errorf("%s: batch %d of %s has %d samples, want %d", what, seq, hostOf(agent), n, weight)
			}
		}
	}
	if len(got) != f.agents*f.batches {
		t.Errorf("%s: %d batches, want %d", what, len(got), f.agents*f.batches)
	}
	all := weight * int64(f.agents*f.batches)
	q.ByStack, q.Step, q.GroupBy = false, time.Minute, []string{store.LabelHost}
	var count, value int64
	if _, err := s.Select(t.Context(), q, func(r *store.Row) bool { count += r.Count; value += r.Value; return true }); err != nil {
		t.Fatalf("%s: select: %v", what, err)
	}
	if count != all || value != 5*all {
		t.Errorf("%s: sums are %d and %d by the minute, want %d and %d", what, count, value, all, 5*all)
	}
	ledgers, err := s.RunLedgers(t.Context(), "default")
	if err != nil {
		t.Fatalf("%s: ledgers: %v", what, err)
	}
	for _, l := range ledgers {
		if want := uint64(2 * f.samples * f.batches); l.Stored != want {
			t.Errorf("%s: the ledger of %s says %d samples, want %d", what, l.HostID, l.Stored, want)
		}
	}
	if len(ledgers) != f.agents {
		t.Errorf("%s: %d ledgers, want %d", what, len(ledgers), f.agents)
	}
}

// await waits until a condition holds. The time is for hosts with much else to do.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within three minutes", what)
		}
	}
}
