// SPDX-License-Identifier: Apache-2.0

package api

import (
	"container/list"
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// turns bounds how many questions are worked on at once, in all and of each
// project, so that those of one project leave room for others'. More wait in a short
// queue, first come first served; who has to ask again and again instead is served
// late, by chance, and costs more. It is safe for concurrent use.
type turns struct {
	all, perProject int
	// most is how many wait at once.
	most int
	// strained says that the store has to catch up with its own work (nil: never has),
	// and few is how many questions are then worked on at once.
	strained func() bool
	few      int

	mu       sync.Mutex
	running  int
	projects map[string]*projectTurns
	queue    list.List // of *waiter
	// usual is about how long a question takes, of the last ones.
	usual time.Duration
}

// projectTurns exist while somebody of the project holds or wants one.
type projectTurns struct{ running, waiting int }

// waiter is a question in the queue.
type waiter struct {
	project string
	own     *projectTurns
	granted chan struct{} // closed when it has its turn
}

// queuePerTurn is how many questions wait for each that is worked on. A longer queue
// would only make everybody wait longer.
const queuePerTurn = 8

// Bounds of what clients are told to wait.
const leastRetry, mostRetry = time.Second, 30 * time.Second

func newTurns(all, perProject int, strained func() bool) *turns {
	if strained == nil {
		strained = func() bool { return false }
	}
	return &turns{
		all: all, perProject: perProject, most: queuePerTurn * all, strained: strained, few: max(1, all/4),
		projects: map[string]*projectTurns{},
	}
}

// take waits, up to patience, until there are few enough questions to work on one
// more of the project. The caller gives the turn back with the function returned. It
// does not wait when the queue is full, or the project has its share of it.
func (t *turns) take(ctx context.Context, project string, patience time.Duration) (giveBack func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t.mu.Lock()
	own := t.projects[project]
	if own == nil {
		own = &projectTurns{}
		t.projects[project] = own
	}
	w := &waiter{project: project, own: own, granted: make(chan struct{})}
	place := t.queue.PushBack(w)
	own.waiting++
	t.serve()
	select {
	case <-w.granted:
		t.mu.Unlock()
		return t.giveBack(w), nil
	default:
	}
	// It waits itself by now.
	if t.queue.Len() > t.most || own.waiting > max(1, t.most*t.perProject/t.all) {
		defer t.mu.Unlock()
		t.remove(place, w)
		return nil, t.busy(own)
	}
	t.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-w.granted:
		return t.giveBack(w), nil
	case <-timer.C:
	case <-ctx.Done():
		err = ctx.Err()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-w.granted: // just now
		if err == nil {
			return t.giveBack(w), nil
		}
		t.end(w)
	default:
		if err == nil {
			err = t.busy(own)
		}
		t.remove(place, w)
	}
	return nil, err
}

// serve gives turns to who waits, in order, past those whose project has its share
// of turns. The lock is held.
func (t *turns) serve() {
	most := t.all
	if t.queue.Len() > 0 && t.strained() {
		most = t.few
	}
	for e := t.queue.Front(); e != nil && t.running < most; {
		w, next := e.Value.(*waiter), e.Next() //nolint:forcetypeassert // the list holds nothing else
		if w.own.running < t.perProject {
			t.queue.Remove(e)
			w.own.waiting--
			w.own.running++
			t.running++
			close(w.granted)
		}
		e = next
	}
}

// remove takes a question out of the queue. The lock is held.
func (t *turns) remove(place *list.Element, w *waiter) {
	t.queue.Remove(place)
	w.own.waiting--
	t.forget(w)
}

// giveBack returns the function that ends a turn.
func (t *turns) giveBack(w *waiter) func() {
	began := time.Now()
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.usual += (time.Since(began) - t.usual) / 8
		t.end(w)
	}
}

// end ends a turn. The lock is held.
func (t *turns) end(w *waiter) {
	t.running--
	w.own.running--
	t.serve()
	t.forget(w)
}

// forget removes a project that has nobody left. The lock is held.
func (t *turns) forget(w *waiter) {
	if w.own.running == 0 && w.own.waiting == 0 {
		delete(t.projects, w.project)
	}
}

// waiting returns how many questions wait.
func (t *turns) waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.queue.Len()
}

// busy returns the error for a question that was not worked on. The lock is held.
func (t *turns) busy(own *projectTurns) *requestError {
	e := &requestError{status: http.StatusServiceUnavailable, reason: "busy"}
	turns, waiting := t.all, t.queue.Len()
	e.Message = fmt.Sprintf("the server has %d queries running and more waiting, which is its limit (-max-concurrent-queries); try again", t.running)
	if t.perProject < t.all && own.running >= t.perProject {
		turns, waiting, e.reason = t.perProject, own.waiting, "project_busy"
		e.Message = fmt.Sprintf("the project has %d queries running and more waiting, which is its limit (-project-concurrent-queries); try again", own.running)
	}
	// By then those who wait now have had their turns.
	e.retry = t.usual * time.Duration(waiting) / time.Duration(turns)
	return e
}
