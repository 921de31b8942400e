// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/strobe-profiler/strobe/collectionagent/limit"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

// validator returns a validator for a request that came now and whose memory is not counted.
func (s *Server) validator() *validator {
	return &validator{now: libpf.UnixTimeNs(s.cfg.Now().UnixNano()), limits: s.cfg.Limits}
}

// refusal is why a batch was not taken: the cause, and what the client gets.
type refusal struct {
	cause  error
	reason string
	answer error
}

// handle runs one request of a type: convert checks it, save stores what convert
// returned, and the acknowledgement and the result of both are counted. A repeat
// of a batch that was stored is acknowledged whatever else stands against it:
// a client that is told no would cut the batch and send its parts as new ones.
func handle[T any](
	ctx context.Context, s *Server, typ string, batch *pb.Batch, batchType store.BatchType,
	convert func(*validator) (T, error), save func(T) (duplicate bool, err error),
) (*pb.Ack, *refusal) {
	started := time.Now()
	defer func() { s.metrics.seconds.WithLabelValues(typ).Observe(time.Since(started).Seconds()) }()
	v := s.validator()
	v.meter = meterOf(ctx)
	id, err := v.batch(batch, s.project(ctx), batchType)
	duplicate := false
	if err == nil {
		// While a batch is being stored nobody can say whether a repeat of it is one.
		if !s.enter(id) {
			return nil, s.refuse(typ, errInFlight)
		}
		defer s.leave(id)
		var converted T
		if converted, err = convert(v); err == nil {
			err = s.allow(id, v.meter, converted)
		}
		if err == nil {
			duplicate, err = save(converted)
		}
		if err != nil {
			duplicate, err = s.applied(ctx, id, err)
		}
	}
	if err != nil {
		return nil, s.refuse(typ, err)
	}
	s.pressure.serve()
	result := "stored"
	if duplicate {
		result = "duplicate"
	}
	s.metrics.batches.WithLabelValues(typ, result).Inc()
	return &pb.Ack{Epoch: s.epoch, Duplicate: duplicate, ServerTime: s.cfg.Now().UnixNano()}, nil
}

// errInFlight is returned for a batch whose first coming is not done yet.
var errInFlight = errors.New("this batch is being stored")

// enter notes that a batch is being worked on, unless it is already.
func (s *Server) enter(id store.BatchID) bool {
	s.inFlightMu.Lock()
	defer s.inFlightMu.Unlock()
	if _, ok := s.inFlight[id]; ok {
		return false
	}
	s.inFlight[id] = struct{}{}
	return true
}

func (s *Server) leave(id store.BatchID) {
	s.inFlightMu.Lock()
	defer s.inFlightMu.Unlock()
	delete(s.inFlight, id)
}

// applied reports whether a batch that is to be refused with an error was stored
// before, and returns the error that remains.
func (s *Server) applied(ctx context.Context, id store.BatchID, err error) (bool, error) {
	applied, lookUpErr := s.cfg.Store.Applied(context.WithoutCancel(ctx), id)
	if lookUpErr == nil && applied {
		return true, nil
	}
	var field *fieldError
	var late *rangeError
	if lookUpErr != nil && (errors.As(err, &field) || errors.As(err, &late)) {
		return false, lookUpErr // do not say for ever no without knowing
	}
	return false, err
}

// refuse counts a batch that is not taken and returns what the client gets.
func (s *Server) refuse(typ string, err error) *refusal {
	answer, result := s.toStatus(err)
	s.metrics.batches.WithLabelValues(typ, result).Inc()
	return &refusal{cause: err, reason: result, answer: answer}
}

// appendBatch stores samples and counts them. It waits for the outcome even when
// the client has left, so that the batch keeps its memory in the budget and its
// fate is known before a repeat is looked at.
func (s *Server) appendBatch(ctx context.Context, b *store.Batch) (bool, error) {
	duplicate, err := s.cfg.Store.Append(context.WithoutCancel(ctx), b)
	if err == nil && !duplicate {
		s.metrics.samples.Add(float64(len(b.Samples)))
		s.metrics.observations.Add(float64(b.Weight()))
	}
	return duplicate, err
}

// put returns a function that stores definitions and remembers them.
func (s *Server) put(ctx context.Context) func(*store.Definitions) (bool, error) {
	return func(d *store.Definitions) (bool, error) {
		epoch := s.known.current()
		duplicate, err := s.cfg.Store.Put(context.WithoutCancel(ctx), d)
		if err != nil {
			return false, err
		}
		if !duplicate { // what a repeat holds was not looked at
			s.known.learn(d, epoch)
			for kind, n := range map[string]int{
				"stacks": len(d.Stacks), "symbols": len(d.Symbols), "executables": len(d.Executables),
				"hosts": len(d.Hosts), "metrics": len(d.Metrics),
			} {
				if n > 0 {
					s.metrics.definitions.WithLabelValues(kind).Add(float64(n))
				}
			}
		}
		return duplicate, nil
	}
}

// limitError is a limit of a project or host that stands against a batch.
type limitError struct{ *limit.Exceeded }

// Error implements error. It says which flag sets the limit.
func (e limitError) Error() string {
	flag := e.Scope + "-" + e.Limit + "-per-second"
	switch {
	case e.Scope == "server":
		return e.Exceeded.Error() // has no flag
	case e.Limit == "hosts":
		flag = "project-hosts"
	}
	return fmt.Sprintf("%s (-%s of the collection agent)", e.Exceeded.Error(), flag)
}

// allow applies the limits of the project and the host to a batch.
func (s *Server) allow(id store.BatchID, m *meter, converted any) error {
	if s.limiter == nil {
		return nil
	}
	var bytes int64
	if m != nil {
		bytes = m.bytes
	}
	b, ok := converted.(*store.Batch)
	if !ok {
		b = &store.Batch{ID: id}
	}
	return s.allowCost(b, int64(len(b.Samples)), bytes, nil)
}

// allowCost applies the limits of the project and the host of a batch to its
// series and to so many samples and bytes, which may be a part of a request.
func (s *Server) allowCost(b *store.Batch, samples, bytes int64, admitted limit.Admitted) error {
	fresh := s.recent.fresh(b)
	cost := limit.Amount{Bytes: bytes, Samples: samples, Series: int64(len(fresh))}
	if e := s.limiter.AllowPart(b.ID.Project, b.ID.HostID, cost, admitted); e != nil {
		s.metrics.limited.WithLabelValues(e.Limit, e.Scope).Inc()
		return limitError{e}
	}
	s.recent.add(fresh)
	return nil
}

// recentSeries remembers the series that came lately, by hash.
type recentSeries struct {
	seed maphash.Seed
	set  *idSet
}

// recentSeriesEntries bounds the memory of recentSeries to about 8 MiB.
const recentSeriesEntries = 1 << 19

func newRecentSeries() *recentSeries {
	return &recentSeries{seed: maphash.MakeSeed(), set: newIDSet(recentSeriesEntries)}
}

// fresh returns the hashes of the series that were not seen lately.
func (r *recentSeries) fresh(b *store.Batch) []uint64 {
	var fresh []uint64
	var h maphash.Hash
	h.SetSeed(r.seed)
	for i := range b.Series {
		h.Reset()
		b.Series[i].HashTo(&h)
		if sum := h.Sum64(); !r.set.has(idOwner{}.of(sum, sum)) {
			fresh = append(fresh, sum)
		}
	}
	return fresh
}

func (r *recentSeries) add(hashes []uint64) {
	for _, h := range hashes {
		r.set.add(idOwner{}.of(h, h))
	}
}

// retry returns the answer to a batch that the client is to keep for so long.
func retry(err error, after time.Duration) error {
	return retryLater(codes.ResourceExhausted, err.Error(), after)
}
