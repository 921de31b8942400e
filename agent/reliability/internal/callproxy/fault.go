// SPDX-License-Identifier: Apache-2.0

package callproxy

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/strobe-profiler/strobe/agent/reliability/internal/pause"
)

// Fault is something that goes wrong with calls.
type Fault string

// Faults of single calls.
const (
	// Duplicate sends a request to the server twice, one after the other or at the
	// same time, and answers once.
	Duplicate Fault = "duplicate"
	// LostAnswer answers Unavailable after the server has done its work.
	LostAnswer Fault = "lost_answer"
	// Reorder answers Unavailable, and sends the request to the server later, among
	// and after newer ones and its own repetition.
	Reorder Fault = "reorder"
	// Late holds a request back before it is sent on, so that others overtake it.
	Late Fault = "late"
	// Internal answers Internal, every second time after the server has done its work.
	Internal Fault = "internal"
	// Overrun answers nothing in time, every second time after the server has done its work.
	Overrun Fault = "deadline_overrun"
)

// Faults that last.
const (
	// Unavailable answers so to every call.
	Unavailable Fault = "unavailable_storm"
	// Busy answers ResourceExhausted with RetryInfo to every call.
	Busy Fault = "resource_exhausted_retry_info"
	// Limit4M answers ResourceExhausted without RetryInfo to messages above 4 MiB,
	// Limit64K to those above 64 KiB.
	Limit4M  Fault = "limit_4_mib"
	Limit64K Fault = "limit_64_kib"
	// Unauthenticated rejects the credentials of every call.
	Unauthenticated Fault = "auth_flip"
)

var (
	ofCalls = []Fault{Duplicate, LostAnswer, Reorder, Late, Internal, Overrun}
	lasting = []Fault{Unavailable, Busy, Limit4M, Limit64K}
)

// Plan says what goes wrong with calls.
type Plan struct {
	Seed uint64
	// Share of calls that have a fault of their own, 0 to 1.
	Share float64
	// Pause is the longest time between lasting faults, Longest how long one of them lasts at most.
	Pause, Longest time.Duration
	// Overrun is how long a call of that kind is held, unless its deadline comes first.
	Overrun time.Duration
	// AuthFlips is when, after the start, credentials are rejected. An agent waits
	// minutes after that, so there are few.
	AuthFlips []time.Duration
}

// Storm follows the plan until ctx ends. Calls pass unharmed afterwards; copies of
// requests that are still held are sent by then, see [Proxy.Settle].
func (p *Proxy) Storm(ctx context.Context, plan *Plan) {
	began := time.Now()
	random := rand.New(rand.NewPCG(plan.Seed, 2)) //nolint:gosec // repeatable on purpose
	p.setPlan(plan)
	defer p.setPlan(nil)
	flips := plan.AuthFlips
	for {
		for _, i := range random.Perm(len(lasting)) {
			if !pause.For(ctx, time.Duration(random.Int64N(int64(plan.Pause)+1))) {
				return
			}
			f := lasting[i]
			if len(flips) > 0 && time.Since(began) >= flips[0] {
				f, flips = Unauthenticated, flips[1:]
			}
			p.setLasting(f)
			ok := pause.For(ctx, plan.Longest/8+time.Duration(random.Int64N(int64(plan.Longest-plan.Longest/8)+1)))
			p.setLasting("")
			if !ok {
				return
			}
		}
	}
}

func (p *Proxy) setPlan(plan *Plan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan = plan
	if plan != nil {
		p.random = rand.New(rand.NewPCG(plan.Seed, 3)) //nolint:gosec // repeatable on purpose
	}
}

func (p *Proxy) setLasting(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lasting = f
}

// draw decides what happens to a call of its own: a fault or "", a number from 0
// to 1, and a coin. The second and third set the details.
func (p *Proxy) draw() (f Fault, size float64, coin bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.plan == nil || p.random.Float64() >= p.plan.Share {
		return "", 0, false
	}
	f = ofCalls[p.random.IntN(len(ofCalls))]
	return f, p.random.Float64(), p.random.IntN(2) == 0
}

// refuse returns what a lasting fault says to a call, or nil.
func (p *Proxy) refuse(bytes int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	limit := map[Fault]int{Limit4M: 4 << 20, Limit64K: 64 << 10}[p.lasting]
	var err error
	switch {
	case p.lasting == Unavailable:
		err = status.Error(codes.Unavailable, "proxy: the server is not there")
	case p.lasting == Busy:
		delay := time.Duration(p.random.Int64N(int64(time.Second)))
		err = withRetryInfo(delay)
	case p.lasting == Unauthenticated:
		err = status.Error(codes.Unauthenticated, "proxy: the token is not known")
	case limit > 0 && bytes > limit:
		err = status.Error(codes.ResourceExhausted, fmt.Sprintf("proxy: received message larger than max (%d vs. %d)", bytes, limit))
	}
	if err != nil {
		p.counts[p.lasting]++
	}
	return err
}

func withRetryInfo(delay time.Duration) error {
	st, err := status.New(codes.ResourceExhausted, "proxy: the server is busy").
		WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(delay)})
	if err != nil { // the detail is a known message
		return status.Error(codes.Unavailable, "proxy: the server is busy")
	}
	return st.Err()
}
