// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// ErrTooLarge is returned (wrapped) to who needs more than there is in all. To
// repeat the question is of no use.
var ErrTooLarge = errors.New("question needs too much memory")

// ErrBusy is returned (wrapped) to who needs what others hold. The question may be
// repeated later.
var ErrBusy = errors.New("memory is in use by other questions")

// granule is what a claim takes at a time, so that it seldom needs the lock of the budget.
const granule = 256 << 10

// firstMost is what a claim gets with its first request, or an eighth of the budget if
// that is less: who cannot have that much waits before it began, and not half done.
const firstMost = 16 << 20

// Budget is a number of bytes that questions share. It is safe for concurrent use.
// A nil budget has no bounds.
type Budget struct {
	// flag names the setting that makes the budget larger.
	flag     string
	size     int64
	patience time.Duration

	mu      sync.Mutex
	used    int64
	holders int       // claims that hold something
	stuck   int       // of them, those that wait for more
	serial  uint64    // of the last claim
	waiting list.List // of *waiter, by the age of their claims
	// refused count claims that got no more.
	refusedBusy, refusedTooLarge atomic.Int64
}

// waiter is a claim that wants n bytes more.
type waiter struct {
	claim *Claim
	n     int64
	// answer has room for one. It is nil or ErrBusy.
	answer chan error
}

// NewBudget returns a budget of so many bytes. A claim waits up to patience for what
// others hold. flag is the setting that errors name.
func NewBudget(flag string, size int64, patience time.Duration) *Budget {
	return &Budget{flag: flag, size: size, patience: patience}
}

// Size returns how many bytes there are in all, 0 without bounds.
func (b *Budget) Size() int64 {
	if b == nil {
		return 0
	}
	return b.size
}

// Used returns how many bytes are taken.
func (b *Budget) Used() int64 {
	if b == nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// Refused returns how many claims got no more, since others held it and since there
// is not so much in all.
func (b *Budget) Refused() (busy, tooLarge int64) {
	if b == nil {
		return 0, 0
	}
	return b.refusedBusy.Load(), b.refusedTooLarge.Load()
}

// acquire takes n bytes for a claim that holds some already or none.
func (b *Budget) acquire(ctx context.Context, c *Claim, n int64) (got int64, err error) {
	b.mu.Lock()
	if c.held+n > b.size {
		held := c.held
		b.mu.Unlock()
		b.refusedTooLarge.Add(1)
		return 0, fmt.Errorf("%w: at least %d MiB, of %d MiB that all questions share (%s); shorten the time range or narrow the query",
			ErrTooLarge, (held+n+1<<20-1)>>20, b.size>>20, b.flag)
	}
	n = b.begin(c, n)
	if b.free(c, n) {
		b.give(c, n)
		b.mu.Unlock()
		return n, nil
	}
	w := &waiter{claim: c, n: n, answer: make(chan error, 1)}
	var e *list.Element
	if c.held > 0 {
		b.stuck++
	}
	e = b.push(w)
	b.breakDeadlock()
	b.mu.Unlock()
	timer := time.NewTimer(b.patience)
	defer timer.Stop()
	err = ErrBusy
	select {
	case err = <-w.answer:
		return n, b.explain(err, n)
	case <-timer.C:
	case <-ctx.Done():
		err = ctx.Err()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case granted := <-w.answer: // just now
		return n, b.explain(granted, n)
	default:
		b.remove(e, w)
		b.wake()
	}
	return 0, b.explain(err, n)
}

// tryAcquire takes at least n bytes for a claim if they are free, else it returns 0.
func (b *Budget) tryAcquire(c *Claim, n int64) (got int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.held+n > b.size {
		return 0
	}
	if n = b.begin(c, n); !b.free(c, n) {
		return 0
	}
	b.give(c, n)
	return n
}

// begin returns how much a claim gets that wants n bytes more: its first is larger, and gives
// it its place in the order. The lock is held.
func (b *Budget) begin(c *Claim, n int64) int64 {
	if c.held > 0 {
		return n
	}
	b.serial++
	c.serial = b.serial
	return max(n, min(b.size/8, firstMost))
}

// free reports whether a claim may have n bytes at once. Nobody overtakes one who came
// earlier: that one is closer to giving all back. The lock is held.
func (b *Budget) free(c *Claim, n int64) bool {
	first := b.waiting.Front()
	return b.size-b.used >= n && (first == nil || first.Value.(*waiter).claim.serial > c.serial) //nolint:forcetypeassert // the list holds nothing else
}

// push puts a waiter in its place by age of its claim. The lock is held.
func (b *Budget) push(w *waiter) *list.Element {
	for e := b.waiting.Front(); e != nil; e = e.Next() {
		if e.Value.(*waiter).claim.serial > w.claim.serial { //nolint:forcetypeassert // the list holds nothing else
			return b.waiting.InsertBefore(w, e)
		}
	}
	return b.waiting.PushBack(w)
}

// explain wraps ErrBusy and counts it.
func (b *Budget) explain(err error, n int64) error {
	if !errors.Is(err, ErrBusy) {
		return err
	}
	b.refusedBusy.Add(1)
	return fmt.Errorf("%w: %d KiB more of %d MiB that all questions share (%s) did not become free; try again",
		ErrBusy, n>>10, b.size>>20, b.flag)
}

// give hands n bytes to a claim. The lock is held.
func (b *Budget) give(c *Claim, n int64) {
	if c.held == 0 {
		b.holders++
	}
	c.held += n
	b.used += n
}

// remove takes a waiter off the list. The lock is held.
func (b *Budget) remove(e *list.Element, w *waiter) {
	b.waiting.Remove(e)
	if w.claim.held > 0 {
		b.stuck--
	}
}

// wake serves those who wait, in order. The lock is held.
func (b *Budget) wake() {
	for e := b.waiting.Front(); e != nil; e = b.waiting.Front() {
		w := e.Value.(*waiter) //nolint:forcetypeassert // the list holds nothing else
		if b.size-b.used < w.n {
			break
		}
		b.remove(e, w)
		b.give(w.claim, w.n)
		w.answer <- nil
	}
	b.breakDeadlock()
}

// breakDeadlock refuses, when all who hold something wait for more, the one among
// them that came last. The lock is held.
func (b *Budget) breakDeadlock() {
	if b.stuck == 0 || b.stuck < b.holders {
		return
	}
	for e := b.waiting.Back(); e != nil; e = e.Prev() {
		if w := e.Value.(*waiter); w.claim.held > 0 { //nolint:forcetypeassert // the list holds nothing else
			b.remove(e, w)
			w.answer <- ErrBusy
			return
		}
	}
}

// release takes n bytes back from a claim.
func (b *Budget) release(c *Claim, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.held -= n
	b.used -= n
	if n > 0 && c.held == 0 {
		b.holders--
	}
	b.wake()
}

// Claim is what one question has of a budget. It is safe for concurrent use, but at
// most one goroutine waits for memory at a time. A nil claim has no bounds.
type Claim struct {
	budget *Budget
	ctx    context.Context //nolint:containedctx // a claim is as old as its question

	// used is what was asked for; held, at least as much, is what the budget gave and
	// is guarded by the lock of the budget.
	used atomic.Int64
	held int64
	// serial is the claim's place in the order of their first requests, first what that
	// was given, which is kept to the end.
	serial uint64
	first  int64

	mu      sync.Mutex // held while waiting for more
	granted atomic.Int64
	// failed is why there was no more: the question ends with it, so that its other
	// goroutines need not wait as well.
	failed error
	most   int64                   // that was asked for when it failed
	cancel context.CancelCauseFunc // nil: none
	closed bool
}

// Claim returns a claim on nothing yet. It waits for memory until the context ends.
// Release must follow.
func (b *Budget) Claim(ctx context.Context) *Claim {
	if b == nil {
		return nil
	}
	return &Claim{budget: b, ctx: ctx}
}

// Question returns a claim and the context that carries it. The context ends when the
// claim gets no more memory, so that all that works on the question ends.
func (b *Budget) Question(ctx context.Context) (context.Context, *Claim) {
	if b == nil {
		return ctx, nil
	}
	c := b.Claim(ctx)
	ctx, c.cancel = context.WithCancelCause(ctx)
	return With(ctx, c), c
}

// Err returns why the claim got no more memory, nil when it always did.
func (c *Claim) Err() error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

// Take asks for n bytes more. When that fails nothing was taken.
func (c *Claim) Take(n int64) error {
	if c == nil || n <= 0 {
		return nil
	}
	if c.used.Add(n) <= c.granted.Load() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	missing := c.used.Load() - c.granted.Load()
	if missing <= 0 {
		return nil // another goroutine was first
	}
	if c.failed != nil {
		c.used.Add(-n)
		return c.failed
	}
	more := missing
	if rest := c.budget.size - c.granted.Load(); more < rest {
		more = min(rest, (more+granule-1)/granule*granule)
	}
	if more, c.failed = c.budget.acquire(c.ctx, c, more); c.failed != nil {
		c.most = c.used.Load()
		c.used.Add(-n)
		if c.cancel != nil {
			c.cancel(c.failed)
		}
		return c.failed
	}
	if c.granted.Add(more) == more {
		c.first = more
	}
	return nil
}

// TryTake asks for n bytes more and does not wait. It reports whether they were taken; where
// they were not, Take says why or waits.
func (c *Claim) TryTake(n int64) bool {
	if c == nil || n <= 0 {
		return true
	}
	if c.used.Add(n) <= c.granted.Load() {
		return true
	}
	if c.mu.TryLock() { // else another goroutine waits for more
		defer c.mu.Unlock()
		missing := c.used.Load() - c.granted.Load()
		if missing <= 0 || c.failed == nil && c.tryGrow(missing) {
			return true
		}
	}
	c.used.Add(-n)
	return false
}

// tryGrow takes at least n bytes of the budget if they are free. The lock is held.
func (c *Claim) tryGrow(n int64) bool {
	more := c.budget.tryAcquire(c, n)
	if more == 0 {
		return false
	}
	if c.granted.Add(more) == more {
		c.first = more
	}
	return true
}

// Give gives n bytes back that were taken.
func (c *Claim) Give(n int64) {
	if c == nil || n <= 0 {
		return
	}
	used := c.used.Add(-n)
	if c.granted.Load()-used < 4*granule {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if surplus := (c.granted.Load() - max(c.used.Load(), c.first)) / granule * granule; surplus > 0 && !c.closed {
		c.granted.Add(-surplus)
		c.budget.release(c, surplus)
	}
}

// Reserve waits until n bytes are free, or all if that is less, so that the claim does
// not wait when it takes them. It is for a claim that has nothing yet.
func (c *Claim) Reserve(n int64) error {
	if c == nil || n <= 0 {
		return nil
	}
	n = min(n, c.budget.size)
	if err := c.Take(n); err != nil {
		return err
	}
	c.used.Add(-n)
	return nil
}

// Most returns how many bytes the claim had, with those that it did not get.
func (c *Claim) Most() int64 {
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.most
}

// Limit returns the size of the budget, the most that the claim can ever get.
func (c *Claim) Limit() int64 { return c.budget.size }

// Used returns how many bytes are taken.
func (c *Claim) Used() int64 {
	if c == nil {
		return 0
	}
	return c.used.Load()
}

// Release gives everything back. The claim is of no more use.
func (c *Claim) Release() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.closed = true
	if c.cancel != nil {
		c.cancel(nil)
	}
	c.budget.release(c, c.granted.Load())
}

// claimKey is the key of the claim in a context.
type claimKey struct{}

// With returns a context that carries a claim.
func With(ctx context.Context, c *Claim) context.Context {
	if c == nil {
		return ctx
	}
	return context.WithValue(ctx, claimKey{}, c)
}

// From returns the claim in a context, nil when there is none.
func From(ctx context.Context) *Claim {
	c, _ := ctx.Value(claimKey{}).(*Claim)
	return c
}
