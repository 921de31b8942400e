// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"io"

	"github.com/strobe-profiler/strobe/collectionagent/memory"
)

// watch looks at the context of a question now and then, so that loops over
// millions of rows end soon after the question did. A nil watch never ends. It is
// for one goroutine.
type watch struct {
	ctx   context.Context //nolint:containedctx // lives as long as the question
	claim *memory.Claim   // of the question, nil: none
	owed  int64           // counted but not asked for yet
	calls uint
	over  bool
}

// watchEvery is how many steps of a loop go by between looks at the context: some
// 10 microseconds of them.
const watchEvery = 1 << 10

func newWatch(ctx context.Context) *watch { return &watch{ctx: ctx, claim: memory.From(ctx)} }

// takeAtOnce is what is counted before it is asked for.
const takeAtOnce = 64 << 10

// take counts n entries of so many bytes that are about to be made. When there is no
// memory for them the question is over, and they must not be made where they are many.
func (w *watch) take(n int, size int64) bool {
	if w == nil || w.claim == nil {
		return true
	}
	if w.owed += int64(n) * size; w.owed < takeAtOnce {
		return !w.over
	}
	if w.claim.Take(w.owed) != nil { // which ends the context
		w.over = true
	}
	w.owed = 0
	return !w.over
}

// hold runs f with so many bytes more, which it gives back.
func (w *watch) hold(n int64, f func() error) error {
	if w == nil || w.claim == nil {
		return f()
	}
	if err := w.claim.Take(n); err != nil {
		return err
	}
	defer w.claim.Give(n)
	return f()
}

// fit returns how many entries of so many bytes, up to n, an answer may be made of so
// that they take half of the memory of all questions at most.
func (w *watch) fit(n int, size int64) int {
	if w == nil || w.claim == nil {
		return n
	}
	return max(1, min(n, int(w.claim.Limit()/2/size)))
}

// ended reports whether the question is over. What was worked out since is of no use.
func (w *watch) ended() bool {
	if w == nil {
		return false
	}
	if w.calls++; w.calls%watchEvery == 0 && !w.over {
		w.over = w.ctx.Err() != nil
	}
	return w.over
}

// look is ended that looks at the context each time, for steps that may be long.
func (w *watch) look() bool {
	if w == nil {
		return false
	}
	w.over = w.over || w.ctx.Err() != nil
	return w.over
}

// watchedWriter fails once the question is over.
type watchedWriter struct {
	ctx context.Context //nolint:containedctx // lives as long as the question
	w   io.Writer
}

func (w *watchedWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.w.Write(p)
}
