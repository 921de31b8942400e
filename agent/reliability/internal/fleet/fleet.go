// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// Fleet is a number of simulated agents. It is safe for concurrent use.
type Fleet struct {
	payload *Payload
	seed    uint64
	timeout time.Duration
	agents  []*agent
	wg      sync.WaitGroup
	cancel  context.CancelFunc

	loading atomic.Bool   // samples fall due
	speed   atomic.Uint64 // of pace, in thousandths
	acked   atomic.Uint64
	waiting atomic.Int64 // batches

	mu        sync.Mutex
	outcomes  map[string]uint64
	latencies []time.Duration
	lastError error
	asked     string // what the server said when it asked to come again
}

// Start starts agents that send to an address, each on its own connection.
func Start(ctx context.Context, address string, agents int, seed uint64, payload *Payload) (*Fleet, error) {
	f := &Fleet{payload: payload, seed: seed, timeout: 15 * time.Second, outcomes: map[string]uint64{}}
	f.SetPace(1)
	f.loading.Store(true)
	for i := range agents {
		a, err := newAgent(f, i, address)
		if err != nil {
			return nil, err
		}
		f.agents = append(f.agents, a)
	}
	ctx, f.cancel = context.WithCancel(ctx)
	for _, a := range f.agents {
		f.wg.Go(func() { a.run(ctx) })
	}
	return f, nil
}

// SetPace sets how fast samples fall due, 1 for what the payload was made for.
// Agents follow with their next batch.
func (f *Fleet) SetPace(pace float64) { f.speed.Store(uint64(pace * 1000)) }

func (f *Fleet) pace() float64 { return float64(max(f.speed.Load(), 1)) / 1000 }

// SetLoad says whether samples fall due. What waits is sent in any case.
func (f *Fleet) SetLoad(on bool) { f.loading.Store(on) }

// Waiting returns how many batches are not acknowledged.
func (f *Fleet) Waiting() int64 { return f.waiting.Load() }

// Acked returns how many samples were acknowledged.
func (f *Fleet) Acked() uint64 { return f.acked.Load() }

// Sent returns how many samples fell due.
func (f *Fleet) Sent() (n uint64) {
	for _, a := range f.agents {
		n += a.sent.Load()
	}
	return n
}

// ByRun returns what was acknowledged by run ID, in hexadecimal.
func (f *Fleet) ByRun() map[string]uint64 {
	out := map[string]uint64{}
	for _, a := range f.agents {
		out[a.runText()] = a.acked.Load()
	}
	return out
}

// Drained waits until everything is acknowledged. Load must be off.
func (f *Fleet) Drained(ctx context.Context, timeout time.Duration) bool {
	end := time.Now().Add(timeout)
	for f.Waiting() > 0 && time.Now().Before(end) && ctx.Err() == nil {
		time.Sleep(20 * time.Millisecond)
	}
	return f.Waiting() == 0
}

// Stop ends all agents, with what they have.
func (f *Fleet) Stop() {
	f.cancel()
	f.wg.Wait()
}

func (f *Fleet) latency(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.latencies = append(f.latencies, d)
}

// TakeLatencies returns the times of acknowledgement since the last call.
func (f *Fleet) TakeLatencies() []time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.latencies
	f.latencies = nil
	return l
}

func (f *Fleet) count(outcome string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.outcomes[outcome]++
}

func (f *Fleet) noteAsked(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = text
}

func (f *Fleet) note(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lastError = err
}

// Asked returns what the server said last when it asked to come again.
func (f *Fleet) Asked() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

// Outcomes returns how often calls ended in another way than well, by code; with
// "+RetryInfo" those that told when to come again. The error is the last without it.
func (f *Fleet) Outcomes() (map[string]uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.outcomes), f.lastError
}
