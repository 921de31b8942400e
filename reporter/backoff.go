// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// maxBackoff caps the time between attempts once the server was reached.
	maxBackoff = time.Minute
	// maxRetryInfo caps what a server may ask for, so that a wrong answer of it
	// does not silence an agent for days.
	maxRetryInfo = 15 * time.Minute
	// maxFaults is how often a server may fail on one batch, while it takes others,
	// before the batch is set aside.
	maxFaults = 8
	// maxCuts limits the search for the invalid item of a batch.
	maxCuts = 4
)

// verdict is what an RPC's error means for its batch.
type verdict int

const (
	accepted    verdict = iota
	outage              // the server is away or slow: back off, all types
	overloaded          // the server names the time to wait
	refused             // the server does not want this agent: retry slowly
	invalid             // the batch will never be accepted
	oversized           // the batch is too large for the server
	outOfWindow         // samples of the batch are too old or in the future
	faulty              // the server failed on this batch; others may pass
	notAgain            // the protocol forbids to send the batch again
)

// answer is what an RPC's error says.
type answer struct {
	verdict verdict
	wait    time.Duration // of overloaded
	window  window        // of outOfWindow
	// unclear: the server may have carried out the request all the same.
	unclear bool
	reason  string // of notAgain, for the ledger
	advice  string // what a person can do about refused or notAgain, "" if nothing is known
}

// explain puts the advice in front of an error.
func (a answer) explain(err error) error {
	if a.advice == "" {
		return err
	}
	return fmt.Errorf("%s: %w", a.advice, err)
}

// classify reads an error of an RPC of the collection agent.
func classify(err error) answer {
	if err == nil {
		return answer{verdict: accepted}
	}
	st := status.Convert(err)
	wait, hasWait := retryInfo(st)
	switch st.Code() {
	case codes.InvalidArgument:
		return answer{verdict: invalid}
	case codes.ResourceExhausted:
		if hasWait {
			return answer{verdict: overloaded, wait: wait}
		}
		return answer{verdict: oversized}
	case codes.OutOfRange:
		if w, ok := windowOf(st); ok {
			return answer{verdict: outOfWindow, window: w}
		}
		return answer{verdict: faulty, unclear: true}
	case codes.Unauthenticated:
		return answer{verdict: refused, advice: "the collection agent does not accept the token; give the agent a valid one in its token file"}
	case codes.PermissionDenied:
		return answer{verdict: refused, advice: "the token does not allow to send profiles; give the agent one of the role ingest in its token file"}
	case codes.FailedPrecondition:
		return answer{verdict: refused, advice: "the collection agent does not work with this agent; bring both to versions that fit"}
	case codes.Unimplemented:
		return answer{verdict: refused, advice: "the server does not speak this protocol; check the address, or update the collection agent"}
	case codes.Internal, codes.Unknown, codes.DataLoss, codes.Aborted, codes.NotFound, codes.AlreadyExists:
		return answer{verdict: faulty, unclear: true}
	default: // Unavailable, DeadlineExceeded, Canceled
		if hasWait {
			return answer{verdict: overloaded, wait: wait, unclear: true}
		}
		return answer{verdict: outage, unclear: true}
	}
}

// retryInfo returns the delay that a status asks for.
func retryInfo(st *status.Status) (time.Duration, bool) {
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok && info.GetRetryDelay() != nil {
			return min(max(info.GetRetryDelay().AsDuration(), 0), maxRetryInfo), true
		}
	}
	return 0, false
}

// fullJitter returns a random time up to base doubled with every attempt, at
// most limit: the spread that keeps a fleet from knocking at the same moment.
func fullJitter(base, limit time.Duration, attempt int) time.Duration {
	top := min(base, limit)
	for ; attempt > 1 && top < limit; attempt-- {
		top = min(2*top, limit)
	}
	return max(time.Duration(rand.Int64N(int64(top)+1)), time.Millisecond) //nolint:gosec // only spreads what a fleet does
}

// spread returns d ± part of it.
func spread(d time.Duration, part float64) time.Duration {
	return time.Duration(float64(d) * (1 + part*(2*rand.Float64()-1))) //nolint:gosec // only spreads what a fleet does
}
