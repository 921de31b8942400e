// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// asker takes turns.
type asker struct {
	t     *testing.T
	turns *turns
}

// must takes a turn at once.
func (a asker) must(project string) func() {
	a.t.Helper()
	giveBack, err := a.turns.take(a.t.Context(), project, 0)
	if err != nil {
		a.t.Fatal(err)
	}
	return giveBack
}

// later waits for a turn; the channel gets what gives it back, nil when there was none.
func (a asker) later(ctx context.Context, project string) <-chan func() {
	turn := make(chan func(), 1)
	go func() {
		giveBack, err := a.turns.take(ctx, project, time.Minute)
		if (giveBack == nil) != (err != nil) {
			a.t.Errorf("a turn and an error: %v", err)
		}
		turn <- giveBack
	}()
	synctest.Wait()
	return turn
}

// served gives back the turn that somebody who waited must have by now.
func (a asker) served(turn <-chan func()) {
	a.t.Helper()
	synctest.Wait()
	select {
	case giveBack := <-turn:
		giveBack()
	default:
		a.t.Error("still waits")
	}
}

// waits checks that somebody still waits.
func (a asker) waits(turn <-chan func()) {
	a.t.Helper()
	synctest.Wait()
	select {
	case <-turn:
		a.t.Error("does not wait any more")
	default:
	}
}

// over checks that nothing is left.
func (a asker) over() {
	a.t.Helper()
	if t := a.turns; len(t.projects) != 0 || t.running != 0 || t.waiting() != 0 {
		a.t.Errorf("%d projects, %d turns and %d who wait are left", len(t.projects), t.running, t.waiting())
	}
}

func TestTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := asker{t, newTurns(3, 2, nil)}
		take := func(project string) error { _, err := a.turns.take(t.Context(), project, time.Second); return err }
		a1, a2 := a.must("a"), a.must("a")
		if err := take("a"); err == nil || !strings.Contains(err.Error(), "-project-concurrent-queries") {
			t.Errorf("a third query of one project: %v", err)
		}
		b := a.must("b")
		began := time.Now()
		if err := take("c"); err == nil || !strings.Contains(err.Error(), "-max-concurrent-queries") {
			t.Errorf("a fourth query: %v", err)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("waited %s", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := a.turns.take(ctx, "c", time.Second); !errors.Is(err, context.Canceled) {
			t.Errorf("a query whose client left: %v", err)
		}
		waiting := a.later(t.Context(), "a")
		a1()
		a.served(waiting)
		a2()
		b()
		a.over()
	})
}

// TestTurnsInOrder has who came first go first, but for those whose project has its share.
func TestTurnsInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := asker{t, newTurns(2, 1, nil)}
		a1, b1 := a.must("a"), a.must("b")
		a2, a3, c1, d1 := a.later(t.Context(), "a"), a.later(t.Context(), "a"), a.later(t.Context(), "c"), a.later(t.Context(), "d")
		b1()
		a.waits(a2)
		a.waits(d1)
		a.served(c1)
		a.served(d1)
		a.waits(a3)
		a1()
		a.served(a2)
		a.served(a3)
		a.over()
	})
}

// TestTurnsFull has a client that is refused at once, with a time to come back that
// follows from how long questions take, and one that leaves the queue and makes room.
func TestTurnsFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := asker{t, newTurns(1, 1, nil)}
		for range 50 {
			end := a.must("a")
			time.Sleep(2 * time.Second)
			end()
		}
		end := a.must("a")
		ctx, cancel := context.WithCancel(t.Context())
		left := a.later(ctx, "a")
		var waiting []<-chan func()
		for range queuePerTurn - 1 {
			waiting = append(waiting, a.later(t.Context(), "b"))
		}
		began := time.Now()
		_, err := a.turns.take(t.Context(), "c", time.Minute)
		var busy *requestError
		if !errors.As(err, &busy) || busy.reason != "busy" || time.Since(began) != 0 {
			t.Fatalf("after %s: %v", time.Since(began), err)
		}
		if got := busy.retry.Round(time.Second); got != 2*queuePerTurn*time.Second {
			t.Errorf("come back after %s", got)
		}
		cancel()
		if <-left != nil {
			t.Error("who left had a turn")
		}
		waiting = append(waiting, a.later(t.Context(), "c"))
		end()
		for _, w := range waiting {
			a.served(w)
		}
		a.over()
	})
}

// TestTurnsShareOfQueue has a project that does not fill the queue alone.
func TestTurnsShareOfQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := asker{t, newTurns(4, 1, nil)}
		end := a.must("a")
		var waiting []<-chan func()
		for range queuePerTurn {
			waiting = append(waiting, a.later(t.Context(), "a"))
		}
		var busy *requestError
		if _, err := a.turns.take(t.Context(), "a", time.Minute); !errors.As(err, &busy) || busy.reason != "project_busy" {
			t.Errorf("got %v", err)
		}
		a.must("b")()
		end()
		for _, w := range waiting {
			a.served(w)
		}
		a.over()
	})
}

// TestTurnsStrained has fewer questions at once while the store has to catch up.
func TestTurnsStrained(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		strained := true
		a := asker{t, newTurns(8, 8, func() bool { return strained })}
		a1, a2 := a.must("a"), a.must("a")
		third := a.later(t.Context(), "a")
		a.waits(third)
		strained = false
		a3 := a.must("a") // and who waited before it
		a.served(third)
		strained = true
		waits := a.later(t.Context(), "a")
		a1()
		a.waits(waits)
		a2()
		a.served(waits)
		a3()
		a.over()
	})
}
