// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"io"
)

// watch looks at the context of a question now and then, so that loops over
// millions of rows end soon after the question did. A nil watch never ends. It is
// for one goroutine.
type watch struct {
	ctx   context.Context //nolint:containedctx // lives as long as the question
	calls uint
	over  bool
}

// watchEvery is how many steps of a loop go by between looks at the context: some
// 10 microseconds of them.
const watchEvery = 1 << 10

func newWatch(ctx context.Context) *watch { return &watch{ctx: ctx} }

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
