// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
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
	// handshake greets the server after every time it was away. contact is false when
	// the protocol has no greeting: what the server thinks shows with the next batch.
	handshake(ctx context.Context) (contact bool, err error)
	// judge says what the error of an attempt means.
	judge(err error) answer
	// fill seals what is queued into the backlog, definitions before what refers
	// to them, as far as the backlog has room, and reports whether it sealed anything.
	fill(final bool) bool
	// pressing reports that a queue is more than half full.
	pressing() bool
	// reseal seals cargo again in pieces of at most limit bytes.
	reseal(kind string, c cargo, limit int) []*batch
	// learn takes note that the server refused more than limit bytes, until the next handshake.
	learn(limit int)
	// close refuses further reports; abandon gives up what is still queued.
	close()
	abandon()
}

// pump is the one goroutine that flushes: it decides when, and what an answer
// means. It is started by run and joined by stop.
type pump struct {
	log      *slog.Logger
	link     transport
	line     *line // of link
	settings *settings
	src      source
	backlog  *backlog
	meters   *meters
	state    connState

	wakeup   chan struct{}
	stopping chan struct{}
	stopOnce sync.Once
	done     chan struct{}
	ctx      context.Context // of all RPCs; cancelled when Stop's time is up
	cancel   context.CancelFunc
	detach   func() bool // lets go of the context given to Start

	// Owned by the flusher.
	greeted   bool                 // handshake done since the last outage
	reached   bool                 // the server was there at least once
	failures  int                  // in a row, of the server as a whole
	retryAt   time.Time            // no attempt before
	succeeded uint64               // batches settled by an answer
	again     bool                 // something waits that the walk through the backlog passed over
	quiet     map[string]time.Time // what was warned of lately, see warn
	report    statusReport
}

func newPump(ctx context.Context, s *settings, src source, b *backlog, link transport) *pump {
	p := &pump{
		log: s.Logger, settings: s, src: src, backlog: b, link: link, line: link.shared(), meters: newMeters(),
		wakeup: make(chan struct{}, 1), stopping: make(chan struct{}), done: make(chan struct{}),
		quiet: map[string]time.Time{},
	}
	p.ctx, p.cancel = context.WithCancel(withHeaders(context.WithoutCancel(ctx), s.Headers))
	p.state.set(StateStarting, nil)
	return p
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

// pause is the time until the next flush: the interval, or until the next attempt
// if that is sooner. What is queued meanwhile goes to disk at every interval.
func (p *pump) pause() time.Duration {
	interval := spread(p.settings.timers.report, p.settings.Jitter)
	if p.failures == 0 && p.retryAt.IsZero() {
		return interval
	}
	return min(interval, max(time.Until(p.retryAt), time.Millisecond))
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
	p.store(true)
	for _, b := range p.backlog.shelve() {
		p.meters.setAside(b.kind, reasonShutdown, 1)
		b.cargo.discard(reasonShutdown)
	}
	p.src.abandon()
	p.noteBacklog()
	greeted := p.state.is(StateConnected)
	p.state.set(StateStopped, nil)
	if greeted {
		p.reportStatus(time.Now())
	}
	p.cancel()
	if err := p.link.close(); err != nil {
		p.log.Warn("closing the connection", "err", err)
	}
}

// flush delivers what is queued and reports whether it delivered everything. What
// it cannot deliver for now it stores, if there is a place.
func (p *pump) flush(final bool) bool {
	if !final && time.Now().Before(p.retryAt) && !p.line.token.changed() {
		p.store(false)
		return false
	}
	if !p.greeted {
		ctx, cancel := context.WithTimeout(p.ctx, p.settings.timers.connect)
		contact, err := p.src.handshake(ctx)
		cancel()
		if err != nil {
			p.fail("handshake", err)
			p.store(final)
			return false
		}
		p.greeted, p.reached = true, p.reached || contact
		// Only a batch that gets through ends a back-off, so a server that greets and
		// then fails is not hammered.
		if contact && p.backlog.empty() {
			p.recover()
		}
	}
	ok := p.exchange(final)
	if !ok && p.failures > 0 {
		p.backlog.rest()
		p.store(final)
	}
	p.noteBacklog()
	p.tell()
	return ok && p.backlog.empty()
}

// exchange seals and delivers in turns until nothing is left, and reports whether
// the server answered for all of it that is due.
func (p *pump) exchange(final bool) bool {
	for range maxRounds {
		if p.backlog.crowded() {
			p.backlog.persist(final)
		}
		batches, _ := p.backlog.usage()
		sealed := false
		// Sealed batches are small but cannot be summed any more: while the server is away
		// the queues do that, until they fill up, unless there is a disk to put batches on.
		if p.failures == 0 || batches == 0 || final || p.src.pressing() || p.backlog.works() {
			sealed = p.src.fill(final)
		}
		p.noteBacklog()
		ok, more := p.deliver(final)
		if !ok {
			return false
		}
		if !sealed && !p.again && !more {
			return true
		}
		p.again = false
		if !final && p.isStopping() {
			return true
		}
	}
	return true
}

func (p *pump) isStopping() bool {
	select {
	case <-p.stopping:
		return true
	default:
		return false
	}
}

// store seals what is queued and puts it on disk, so that an agent that dies while
// the server is away loses only what came since. Without a disk everything stays
// where it is.
func (p *pump) store(final bool) {
	for range maxRounds {
		// A disk that failed is tried with what is sealed already: sealing more would end its summing.
		if !p.backlog.spools(final) || !p.backlog.persist(final) {
			break
		}
		if !p.src.fill(final) {
			break
		}
		if !p.backlog.persist(final) {
			break
		}
	}
	p.noteBacklog()
}

func (p *pump) noteBacklog() {
	batches, bytes := p.backlog.usage()
	p.meters.backlogBatches.Store(int64(batches))
	p.meters.backlogBytes.Store(int64(bytes))
}

// abort closes a pump that was never run.
func (p *pump) abort() error {
	p.cancel()
	return p.link.close()
}
