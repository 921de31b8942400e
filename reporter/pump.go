// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/proto/tlsfiles"
)

const (
	keepaliveTime    = 30 * time.Second
	keepaliveTimeout = 10 * time.Second
	// maxRounds bounds one flush, so that a server that never stops asking for more
	// cannot keep it from the clock.
	maxRounds = 256
	// stopAttempts is how often Stop tries while its time lasts.
	stopAttempts = 3
)

var errStopped = errors.New("reporter is stopped")

// source is what a pump sends: the queues and the language spoken. Only the
// flusher calls it.
type source interface {
	// handshake greets the server after every time it was away.
	handshake(ctx context.Context) error
	// fill seals what is queued into the backlog, definitions before what refers
	// to them, as far as the backlog has room, and reports whether it sealed anything.
	fill(final bool) bool
	// pressing reports that a queue is more than half full.
	pressing() bool
	// reseal seals cargo again in pieces of at most limit bytes.
	reseal(kind string, c cargo, limit int) []*batch
	// close refuses further reports; abandon gives up what is still queued.
	close()
	abandon()
}

// pump is the one goroutine that flushes: it decides when, and what an answer
// means. It is started by run and joined by stop.
type pump struct {
	log      *slog.Logger
	conn     *grpc.ClientConn
	tls      *tlsfiles.Files // nil without TLS
	settings *settings
	counts   *byteCounts
	src      source
	backlog  backlog
	meters   *meters
	state    connState
	// faultsAreFinal: the protocol forbids to repeat what failed with codes.Internal or codes.Unknown.
	faultsAreFinal bool

	wakeup   chan struct{}
	stopping chan struct{}
	stopOnce sync.Once
	done     chan struct{}
	ctx      context.Context // of all RPCs; cancelled when Stop's time is up
	cancel   context.CancelFunc
	detach   func() bool // lets go of the context given to Start

	// Owned by the flusher.
	greeted   bool      // handshake done since the last outage
	reached   bool      // the server was there at least once
	failures  int       // in a row, of the server as a whole
	retryAt   time.Time // no attempt before
	succeeded uint64    // batches settled by an answer
	again     bool      // pieces of a batch wait to be sent
}

func newPump(ctx context.Context, s *settings, src source, b backlog, compressor string) (*pump, error) {
	p := &pump{
		log: s.Logger, settings: s, src: src, backlog: b, counts: &byteCounts{}, meters: newMeters(),
		wakeup: make(chan struct{}, 1), stopping: make(chan struct{}), done: make(chan struct{}),
	}
	conn, files, err := dial(s, p.counts, compressor)
	if err != nil {
		return nil, err
	}
	p.conn, p.tls = conn, files
	p.ctx, p.cancel = context.WithCancel(withHeaders(context.WithoutCancel(ctx), s.Headers))
	p.state.set(StateStarting, nil)
	return p, nil
}

// run starts the flusher. The end of ctx has the effect of stop.
func (p *pump) run(ctx context.Context) {
	p.detach = context.AfterFunc(ctx, p.beginStop)
	go p.loop()
}

// wake asks for an early flush. It never blocks.
func (p *pump) wake() {
	select {
	case p.wakeup <- struct{}{}:
	default:
	}
}

// beginStop ends the intake and starts the clock of the last flush.
func (p *pump) beginStop() {
	p.stopOnce.Do(func() {
		p.src.close()
		close(p.stopping)
		timer := time.AfterFunc(p.settings.StopTimeout, p.cancel)
		context.AfterFunc(p.ctx, func() { timer.Stop() })
	})
}

// stop flushes, within StopTimeout, and returns when nothing of the pump runs
// any more. Every caller waits for that.
func (p *pump) stop() {
	p.detach()
	p.beginStop()
	<-p.done
}

func (p *pump) loop() {
	defer close(p.done)
	timer := time.NewTimer(spread(p.settings.timers.report, p.settings.Jitter))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-p.wakeup:
		case <-p.stopping:
			p.lastFlush()
			return
		}
		p.flush(false)
		timer.Reset(p.pause())
	}
}

// pause is the time until the next flush: the interval, or until the next attempt.
func (p *pump) pause() time.Duration {
	if p.failures == 0 && p.retryAt.IsZero() {
		return spread(p.settings.timers.report, p.settings.Jitter)
	}
	return max(time.Until(p.retryAt), time.Millisecond)
}

func (p *pump) lastFlush() {
	for attempt := range stopAttempts {
		if p.flush(true) || p.ctx.Err() != nil {
			break
		}
		select {
		case <-time.After(fullJitter(p.settings.StopTimeout/20, p.settings.StopTimeout/4, attempt+1)):
		case <-p.ctx.Done():
		}
	}
	for _, b := range p.backlog.batches() {
		p.backlog.remove(b)
		p.meters.setAside(b.kind, reasonShutdown, 1)
		b.cargo.discard(reasonShutdown)
	}
	p.src.abandon()
	p.noteBacklog()
	p.cancel()
	if err := p.conn.Close(); err != nil {
		p.log.Warn("closing the connection", "err", err)
	}
	p.state.set(StateStopped, nil)
}

// flush delivers what is queued and reports whether it delivered everything.
func (p *pump) flush(final bool) bool {
	if !final && time.Now().Before(p.retryAt) {
		return false
	}
	if !p.greeted {
		ctx, cancel := context.WithTimeout(p.ctx, p.settings.timers.connect)
		err := p.greet(ctx)
		cancel()
		if err != nil {
			p.fail("handshake", err)
			return false
		}
		p.greeted, p.reached = true, true
		// Only a batch that gets through ends a back-off, so a server that greets and
		// then fails is not hammered.
		if batches, _ := p.backlog.usage(); batches == 0 {
			p.recover()
		}
	}
	for range maxRounds {
		batches, _ := p.backlog.usage()
		sealed := false
		// Sealed batches are small but cannot be summed any more: while the server is away
		// the queues do that, until they fill up.
		if p.failures == 0 || batches == 0 || final || p.src.pressing() {
			sealed = p.src.fill(final)
		}
		p.noteBacklog()
		if ok := p.deliver(final); !ok {
			p.noteBacklog()
			return false
		}
		if !sealed && !p.again {
			break
		}
		p.again = false
	}
	p.noteBacklog()
	batches, _ := p.backlog.usage()
	return batches == 0
}

// greet wakes the connection and shakes hands.
func (p *pump) greet(ctx context.Context) error {
	p.conn.ResetConnectBackoff()
	p.conn.Connect()
	return p.src.handshake(ctx)
}

// deliver sends the backlog in its order and reports whether the server answered
// for all of it that is due.
func (p *pump) deliver(final bool) bool {
	var fault error
	progress := false
	for _, b := range p.backlog.batches() {
		if !final && time.Now().Before(b.notBefore) {
			continue
		}
		resp, err := p.send(b)
		v, wait, unclear := classify(err)
		switch v {
		case accepted:
			p.backlog.remove(b)
			progress = true
			p.succeeded++
			p.failures = 0 // a server that takes some is not away: back-off begins anew
			p.meters.acknowledged(b.kind)
			b.cargo.acknowledge(resp)
		case invalid, oversized:
			progress = true
			p.succeeded++
			p.cut(b, v, err)
		case faulty:
			b.unclear = true
			b.faults++
			p.meters.failed(b.kind, err)
			if code := status.Code(err); p.faultsAreFinal && (code == codes.Internal || code == codes.Unknown) {
				progress = true
				p.abandonBatch(b, reasonServer, err)
				continue
			}
			if fault = err; b.faults == 1 {
				b.succeededThen = p.succeeded
			}
			b.notBefore = time.Now().Add(fullJitter(p.baseDelay(), maxBackoff, b.faults))
			if b.faults >= maxFaults && p.succeeded > b.succeededThen {
				p.abandonBatch(b, reasonServer, err)
			}
		case outage, overloaded, refused:
			b.unclear = b.unclear || unclear
			p.meters.failed(b.kind, err)
			p.failWith(b.kind, err, v, wait)
			return false
		}
	}
	switch {
	case progress:
		p.recover()
	case fault != nil:
		// Each batch waits for itself. Others, and those to come, are not held up.
		p.state.set(StateDisconnected, fault)
	}
	return fault == nil
}

// send makes one attempt at a batch.
func (p *pump) send(b *batch) (proto.Message, error) {
	if b.attempts > 0 {
		p.meters.retried(b.kind)
	}
	b.attempts++
	ctx, cancel := context.WithTimeout(p.ctx, p.settings.timers.operation)
	defer cancel()
	resp := b.cargo.newResponse()
	err := p.conn.Invoke(ctx, b.method, b.payload, resp, grpc.ForceCodecV2(sealedCodec{}))
	return resp, err
}

// cut deals with a batch that the server will never take as it is: in pieces it
// may, down to the item that is wrong or too large.
func (p *pump) cut(b *batch, v verdict, err error) {
	reason, limit := reasonRejected, len(b.payload)
	mayCut := b.cuts < maxCuts
	if v == oversized {
		reason, limit = reasonTooLarge, len(b.payload)/2+1
		// An earlier attempt may have been stored, and pieces would be stored again:
		// repeat the batch itself, whose identity protects it, until the answer is clear.
		if b.unclear {
			b.faults++
			b.notBefore = time.Now().Add(fullJitter(p.baseDelay(), maxBackoff, b.faults))
			if b.faults < maxFaults {
				return
			}
		}
		mayCut = true
	}
	if mayCut {
		if a, c, ok := b.cargo.halves(); ok {
			pieces := append(p.src.reseal(b.kind, a, limit), p.src.reseal(b.kind, c, limit)...)
			for _, piece := range pieces {
				piece.cuts = b.cuts + 1
			}
			p.backlog.replace(b, pieces)
			p.again = true
			return
		}
	}
	p.abandonBatch(b, reason, err)
}

func (p *pump) abandonBatch(b *batch, reason string, err error) {
	p.backlog.remove(b)
	p.meters.setAside(b.kind, reason, 1)
	b.cargo.discard(reason)
	p.state.note(err)
	p.log.Warn("a batch is set aside", "type", b.kind, "sequence", b.sequence, "bytes", len(b.payload),
		"reason", reason, "err", err)
}

// recover takes note that the server works.
func (p *pump) recover() {
	if p.failures > 0 || !p.state.is(StateConnected) {
		p.log.Info("connected", "address", p.settings.CollAgentAddr)
	}
	p.failures, p.retryAt = 0, time.Time{}
	p.state.set(StateConnected, nil)
}

func (p *pump) baseDelay() time.Duration { return min(time.Second, p.settings.timers.report) }

func (p *pump) fail(doing string, err error) {
	v, wait, _ := classify(err)
	p.failWith(doing, err, v, wait)
}

// failWith takes note that the server as a whole does not work and sets the time
// of the next attempt.
func (p *pump) failWith(doing string, err error, v verdict, wait time.Duration) {
	p.failures++
	state, limit := StateDisconnected, maxBackoff
	if !p.reached {
		limit = min(limit, p.settings.timers.startupBackoff)
	}
	delay := fullJitter(p.baseDelay(), limit, p.failures)
	switch v {
	case refused:
		state, delay = StateRefused, spread(p.settings.timers.authDelay, authJitter)
	case overloaded:
		// Nobody may come early; the spread keeps a fleet apart.
		state, delay = StateOverloaded, wait+fullJitter(p.baseDelay(), limit, 1)
	case outage:
		p.greeted = false
	}
	p.retryAt = time.Now().Add(delay)
	err = fmt.Errorf("%s: %w", doing, err)
	if !p.state.is(state) && p.ctx.Err() == nil {
		p.log.Warn("the collection agent does not take data; keeping it", "state", state.String(),
			"address", p.settings.CollAgentAddr, "retry_in", delay, "err", err)
	}
	p.state.set(state, err)
}

func (p *pump) noteBacklog() {
	batches, bytes := p.backlog.usage()
	p.meters.backlogBatches.Store(int64(batches))
	p.meters.backlogBytes.Store(int64(bytes))
}

// abort closes a pump that was never run.
func (p *pump) abort() error {
	p.cancel()
	return p.conn.Close()
}
