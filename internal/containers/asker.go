// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"sync"
	"time"
)

// asker asks one source, from goroutines of its own: a source that hangs holds up
// nobody else.
type asker struct {
	source   source
	dir      *Directory
	number   int // of the source
	optional bool
	interval time.Duration
	wake     chan struct{}

	mu      sync.Mutex
	pending map[string]*question
	state   Status
	failing int
	// notBefore is when it may be asked again.
	notBefore time.Time
}

// question is a container that a source is to be asked for.
type question struct {
	attempts int
	due      time.Time
}

// maxPending bounds the questions that wait. A host runs some hundred containers.
const maxPending = 1024

// maxTogetherAsked bounds one question. Docker's has all IDs in its address, 73 bytes each, and
// proxies in front of it take 8 KiB.
const maxTogetherAsked = 100

// maxUnasked bounds the containers of one answer that nobody asked for, such as those of
// the kubelet, which tells of all pods. Those that were asked for are learned in any case.
const maxUnasked = 4096

func newAsker(s source, d *Directory, number int) *asker {
	a := &asker{
		source: s, dir: d, number: number, interval: minInterval,
		wake: make(chan struct{}, 1), pending: map[string]*question{},
		state: Status{Kind: s.kind(), Where: s.where(), State: StateIdle},
	}
	if s.kind() == kindKubelet {
		a.interval = minKubeletInterval
	}
	return a
}

// want puts a question. It returns at once.
func (a *asker) want(id string) {
	a.mu.Lock()
	if _, ok := a.pending[id]; !ok {
		if len(a.pending) >= maxPending {
			a.mu.Unlock()
			a.dir.metrics.lookups.WithLabelValues(a.source.kind(), "queue_full").Inc()
			return
		}
		a.pending[id] = &question{}
	}
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// run asks until ctx ends.
func (a *asker) run(ctx context.Context) {
	var following sync.WaitGroup
	defer following.Wait()
	defer a.source.close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for followed := false; ctx.Err() == nil; {
		ids, wait := a.due(time.Now())
		if len(ids) > 0 {
			if a.ask(ctx, ids) && !followed {
				if f, ok := a.source.(follower); ok {
					following.Go(func() { a.follow(ctx, f) })
				}
				followed = true
			}
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		case <-timer.C:
		}
	}
}

// due returns the questions to ask now, or how long there are none.
func (a *asker) due(now time.Time) (ids []string, wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if pause := a.notBefore.Sub(now); pause > 0 {
		return nil, pause
	}
	wait = time.Hour // until it is woken
	for id, q := range a.pending {
		if pause := q.due.Sub(now); pause > 0 {
			wait = min(wait, pause)
		} else if len(ids) < maxTogetherAsked {
			ids = append(ids, id)
		}
	}
	return ids, wait
}

// ask asks once and reports whether there was an answer.
func (a *asker) ask(ctx context.Context, ids []string) bool {
	limited, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	told, unasked, left := make(map[string]bool, len(ids)), 0, 0
	asked := make(map[string]bool, len(ids))
	for _, id := range ids {
		asked[id] = true
	}
	err := a.source.look(limited, ids, func(id string, c container) {
		if !told[id] && !asked[id] {
			if unasked >= maxUnasked {
				left++
				return
			}
			unasked++
		}
		told[id] = true
		a.dir.learn(a.number, id, &c)
	})
	// What was told is known, and counts, whatever becomes of the rest.
	for result, n := range map[string]int{"found": len(told), "left_out": left} {
		if n > 0 {
			a.dir.metrics.lookups.WithLabelValues(a.source.kind(), result).Add(float64(n))
		}
	}
	if err != nil && ctx.Err() != nil {
		return false // it was ended, which is no failure of the source
	}
	a.settle(time.Now(), ids, told, err)
	return err == nil
}

// settle notes what came of a question.
func (a *asker) settle(now time.Time, ids []string, told map[string]bool, err error) {
	count := a.dir.metrics.lookups.MustCurryWith(map[string]string{"source": a.source.kind()})
	changed := false
	a.mu.Lock()
	// A log may be slow to take a line, and who wants something waits for the lock.
	defer func() {
		a.mu.Unlock()
		if changed {
			a.tell(err)
		}
	}()
	for id := range told {
		delete(a.pending, id)
	}
	if err != nil {
		reason := reasonOf(err)
		a.pause(now)
		changed = a.change(reason, err)
		if a.optional && errors.Is(err, fs.ErrNotExist) {
			clear(a.pending) // there is nobody to ask, and nobody said that there was
			return
		}
		// They wait for the next attempt, however long that takes.
		count.WithLabelValues(reason).Inc()
		return
	}
	a.failing = 0
	a.notBefore = now.Add(a.interval)
	changed = a.change(StateAsked, nil)
	for _, id := range ids {
		q, ok := a.pending[id]
		if !ok {
			continue
		}
		if q.attempts == len(retries) {
			delete(a.pending, id)
			count.WithLabelValues("unknown").Inc()
			continue
		}
		q.due = now.Add(retries[q.attempts])
		q.attempts++
	}
}

// pause sets when a source that failed is asked again.
func (a *asker) pause(now time.Time) {
	backoff := min(minBackoff<<min(a.failing, 10), maxBackoff)
	a.failing++
	a.notBefore = now.Add(backoff/2 + rand.N(backoff/2)) //nolint:gosec // not a secret
}

// change notes the state and reports whether it is another one that is worth a word. a.mu is held.
func (a *asker) change(state string, err error) bool {
	was := a.state.State
	a.state.State, a.state.Error, a.state.Fix = state, "", ""
	if err != nil {
		a.state.Error = clean(err.Error(), 400)
		a.state.Fix = fix(a.state.Kind, a.state.Where, state)
	}
	return was != state && !(a.optional && state == reasonAbsent)
}

// tell logs what became of the source.
func (a *asker) tell(err error) {
	if err == nil {
		a.dir.log.Info("containers get names", "source", a.source.kind(), "at", a.source.where())
		return
	}
	// It is a courtesy: nothing is broken without it.
	a.dir.log.Info("no names of containers from there", "source", a.source.kind(), "at", a.source.where(), "reason", reasonOf(err), "err", err)
}

func (a *asker) status() Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state
}

// follow hears from the source which containers are new or renamed, for as long as ctx lasts.
func (a *asker) follow(ctx context.Context, f follower) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for failures := 0; ; failures++ {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		err := f.follow(ctx, func(id string) {
			failures = 0
			a.want(id)
		})
		if ctx.Err() != nil || errors.Is(err, errUnsupported) {
			return
		}
		a.dir.log.Debug("events of containers ended", "source", a.source.kind(), "err", err)
		timer.Reset(min(minBackoff<<min(failures, 10), maxBackoff))
	}
}
