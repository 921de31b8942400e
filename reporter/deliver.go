// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
)

// deliver sends the backlog in its order, one batch at a time, and reports whether
// the server answered for all of it that is due. While it empties the disk it comes
// back once in a while, with more, so that what is queued meanwhile gets sealed.
func (p *pump) deliver(final bool) (ok, more bool) {
	var fault, refusal error
	progress, took := false, false
	started := time.Now()
	for b := p.backlog.first(); b != nil; b = p.backlog.after(b) {
		if !final && b.order != 0 && progress && time.Since(started) > p.settings.timers.report {
			more = true
			break
		}
		if !final && time.Now().Before(b.notBefore) {
			continue
		}
		resp, err := p.send(b)
		a := p.src.judge(err)
		switch a.verdict {
		case accepted:
			p.backlog.remove(b)
			progress, took = true, true
			p.succeeded++
			p.failures = 0 // a server that takes some is not away: back-off begins anew
			p.meters.acknowledged(b.kind)
			b.cargo.acknowledge(resp)
		case invalid, oversized:
			progress = true
			p.succeeded++
			p.cut(b, a.verdict, err)
		case outOfWindow:
			progress = true
			p.succeeded++
			p.trim(b, a.window, err)
		case notAgain:
			progress = true
			p.succeeded++
			p.meters.failed(b.kind, err)
			refusal = a.explain(err)
			p.abandonBatch(b, a.reason, refusal)
		case faulty:
			b.unclear = b.unclear || a.unclear
			b.faults++
			p.meters.failed(b.kind, err)
			if fault = err; b.faults == 1 {
				b.succeededThen = p.succeeded
			}
			b.notBefore = time.Now().Add(fullJitter(p.baseDelay(), maxBackoff, b.faults))
			if b.faults >= maxFaults && p.succeeded > b.succeededThen {
				p.abandonBatch(b, reasonServer, err)
			}
		case outage, overloaded, refused:
			b.unclear = b.unclear || a.unclear
			p.meters.failed(b.kind, err)
			p.failWith(b.kind, err, a)
			return false, false
		}
	}
	switch {
	case refusal != nil && !took:
		// The server is there and wants nothing of what it is sent.
		p.failures, p.retryAt = 0, time.Time{}
		p.state.set(StateRefused, refusal)
	case progress:
		p.recover()
	case fault != nil:
		// Each batch waits for itself. Others, and those to come, are not held up.
		p.state.set(StateDisconnected, fault)
	}
	return fault == nil, more
}

// send makes one attempt at a batch. An answer may take as long as the deadline
// allows; a queue that fills up meanwhile goes to disk, if there is one.
func (p *pump) send(b *batch) (proto.Message, error) {
	if b.attempts > 0 {
		p.meters.retried(b.kind)
	}
	b.attempts++
	ctx, cancel := context.WithTimeout(p.ctx, p.settings.timers.operation)
	defer cancel()
	resp := b.cargo.newResponse()
	answered := make(chan error, 1)
	go func() { answered <- p.link.send(ctx, b.method, b.payload, resp) }()
	b.sending = true
	defer func() { b.sending = false }()
	for {
		select {
		case err := <-answered:
			return resp, err
		case <-p.wakeup:
			p.store(false)
			// What went to disk behind the walk, or found no place there, comes after it.
			p.again = true
		}
	}
}

// leastCut is the size from which a batch that is too large is not cut any more: a server
// that says so of less takes nothing, and should not be asked for each sample.
const leastCut = 1 << 10

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
		p.src.learn(limit)
		mayCut = len(b.payload) > leastCut
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

// trim leaves out the samples of a batch that the server says are outside of its
// window, and seals the rest anew. The server does not say so of a batch that it has
// stored, so this is safe whatever became of earlier attempts.
func (p *pump) trim(b *batch, w window, err error) {
	rest, ok := b.cargo.within(w)
	if !ok {
		// All lie within: the server contradicts itself, and pieces would not change that.
		p.abandonBatch(b, reasonRejected, err)
		return
	}
	var pieces []*batch
	if rest != nil {
		pieces = p.src.reseal(b.kind, rest, len(b.payload))
	}
	p.backlog.replace(b, pieces)
	p.again = p.again || len(pieces) > 0
	p.warn("samples outside of the time that the server accepts are left out", b, "", err)
}

func (p *pump) abandonBatch(b *batch, reason string, err error) {
	p.backlog.remove(b)
	p.meters.setAside(b.kind, reason, 1)
	b.cargo.discard(reason)
	p.state.note(err)
	p.warn("a batch is set aside", b, reason, err)
}

// warnEvery is how often the same is said of the same type of batches; counters tell the rest.
const warnEvery = time.Minute

func (p *pump) warn(what string, b *batch, reason string, err error) {
	if !p.speak(b.kind + reason) {
		return
	}
	p.log.Warn(what, "type", b.kind, "sequence", b.sequence, "bytes", len(b.payload), "reason", reason, "err", err)
}

// speak reports that something was not said within the last while, and takes note of it.
func (p *pump) speak(key string) bool {
	now := time.Now()
	if until, ok := p.quiet[key]; ok && now.Before(until) {
		return false
	}
	p.quiet[key] = now.Add(warnEvery)
	return true
}

// recover takes note that the server works.
func (p *pump) recover() {
	if p.failures > 0 || !p.state.is(StateConnected) {
		p.log.Info("connected", "address", p.settings.peer)
	}
	p.failures, p.retryAt, p.reached = 0, time.Time{}, true
	p.state.set(StateConnected, nil)
}

func (p *pump) baseDelay() time.Duration { return min(time.Second, p.settings.timers.report) }

func (p *pump) fail(doing string, err error) { p.failWith(doing, err, p.src.judge(err)) }

// failWith takes note that the server as a whole does not work and sets the time
// of the next attempt.
func (p *pump) failWith(doing string, err error, a answer) {
	p.failures++
	state, limit := StateDisconnected, maxBackoff
	if !p.reached {
		limit = min(limit, p.settings.timers.startupBackoff)
	}
	delay := fullJitter(p.baseDelay(), limit, p.failures)
	switch a.verdict {
	case refused:
		state, delay = StateRefused, spread(p.settings.timers.authDelay, authJitter)
		if p.line.token.refused(err) {
			delay = p.baseDelay() // another token is there by now
		}
		err = a.explain(err)
		p.greeted = false // the server may be another one by then
	case overloaded:
		// Nobody may come early. The longer the wait, and the more often it was in vain, the
		// wider the spread that keeps a fleet apart.
		state, delay = StateOverloaded, a.wait+fullJitter(max(p.baseDelay(), a.wait), max(limit, a.wait), p.failures)
	case outage:
		p.greeted = false
	}
	p.retryAt = time.Now().Add(delay)
	err = fmt.Errorf("%s: %w", doing, err)
	if !p.state.is(state) && p.ctx.Err() == nil {
		p.log.Warn("the server does not take data; keeping it", "state", state.String(),
			"address", p.settings.peer, "retry_in", delay, "err", err)
	}
	p.state.set(state, err)
}
