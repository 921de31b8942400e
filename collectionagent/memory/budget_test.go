// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestTooLarge(t *testing.T) {
	b := NewBudget("-memory", 10<<20, time.Second)
	c := b.Claim(t.Context())
	defer c.Release()
	if err := c.Take(10 << 20); err != nil {
		t.Fatal(err)
	}
	err := c.Take(1)
	if !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "-memory") {
		t.Errorf("more than all: %v", err)
	}
	if again := c.Take(1); !errors.Is(again, ErrTooLarge) {
		t.Errorf("again: %v", again)
	}
	if busy, large := b.Refused(); busy != 0 || large != 1 {
		t.Errorf("refused %d and %d", busy, large)
	}
}

func TestWaitsForItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget("-memory", 10<<20, time.Minute)
		first := b.Claim(t.Context())
		if err := first.Take(8 << 20); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		second := b.Claim(t.Context())
		go func() { done <- second.Take(8 << 20) }()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("did not wait: %v", err)
		default:
		}
		// A small one that comes later does not overtake.
		third := b.Claim(t.Context())
		small := make(chan error, 1)
		go func() { small <- third.Take(1) }()
		synctest.Wait()
		first.Release()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := <-small; err != nil {
			t.Error(err)
		}
		second.Release()
		third.Release()
		if b.Used() != 0 {
			t.Errorf("%d bytes are left", b.Used())
		}
	})
}

func TestTryTake(t *testing.T) {
	b := NewBudget("-memory", 10<<20, time.Minute)
	first, second := b.Claim(t.Context()), b.Claim(t.Context())
	defer first.Release()
	for _, c := range []struct {
		name  string
		claim *Claim
		n     int64
		want  bool
	}{
		{"more than there is", first, 11 << 20, false},
		{"most of it", first, 9 << 20, true},
		{"what another has", second, 2 << 20, false},
		{"more than is left", first, 2 << 20, false},
		{"what is left", first, 1 << 20, true},
		{"nothing", second, 0, true},
		{"without bounds", nil, 1 << 40, true},
	} {
		if got := c.claim.TryTake(c.n); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
	if used, err := b.Used(), first.Err(); used != 10<<20 || err != nil {
		t.Errorf("%d bytes are taken, %v", used, err)
	}
	if busy, large := b.Refused(); busy != 0 || large != 0 {
		t.Errorf("refused %d and %d: who only tries is not refused", busy, large)
	}
	first.Give(10 << 20)
	first.Release()
	if !second.TryTake(10 << 20) {
		t.Error("what was given back is not there")
	}
	second.Release()
}

// TestTryTakeDoesNotWait tries while another goroutine of the question waits.
func TestTryTakeDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget("-memory", 10<<20, time.Minute)
		other, c := b.Claim(t.Context()), b.Claim(t.Context())
		defer other.Release()
		defer c.Release()
		if err := other.Take(8 << 20); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- c.Take(4 << 20) }()
		synctest.Wait()
		if began := time.Now(); c.TryTake(1) || time.Since(began) != 0 {
			t.Errorf("it took some, or waited %v", time.Since(began))
		}
		if err := <-done; !errors.Is(err, ErrBusy) {
			t.Error(err)
		}
	})
}

func TestGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget("-memory", 10<<20, 5*time.Second)
		first := b.Claim(t.Context())
		if err := first.Take(8 << 20); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		second := b.Claim(t.Context())
		if err := second.Take(8 << 20); !errors.Is(err, ErrBusy) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("waited %s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		third := b.Claim(ctx)
		if err := third.Take(8 << 20); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		for _, c := range []*Claim{first, second, third} {
			c.Release()
		}
		if b.Used() != 0 || b.waiting.Len() != 0 || b.holders != 0 || b.stuck != 0 {
			t.Errorf("left: %d bytes, %d waiting, %d holders, %d stuck", b.Used(), b.waiting.Len(), b.holders, b.stuck)
		}
	})
}

// TestDeadlock has questions that each hold half and want more: one of them is
// refused at once, the other goes on.
func TestDeadlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget("-memory", 8<<20, time.Hour)
		start := time.Now()
		errs := make([]error, 2)
		var wg, both sync.WaitGroup
		both.Add(2)
		for i := range errs {
			wg.Go(func() {
				c := b.Claim(t.Context())
				defer c.Release()
				if err := c.Take(int64(3+i) << 20); err != nil {
					t.Error(err)
				}
				both.Done()
				both.Wait()
				errs[i] = c.Take(3 << 20)
			})
		}
		wg.Wait()
		if busy := errors.Join(errs...); !errors.Is(busy, ErrBusy) || (errs[0] != nil && errs[1] != nil) {
			t.Errorf("got %v", errs)
		}
		if time.Since(start) != 0 {
			t.Error("waited")
		}
	})
}

// TestBudgetNeverExceeded has many questions of random appetite.
func TestBudgetNeverExceeded(t *testing.T) {
	b := NewBudget("-memory", 16<<20, 50*time.Millisecond)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(i)))
			for range 200 {
				c := b.Claim(t.Context())
				var workers sync.WaitGroup
				for range 2 {
					n := rnd.Int64N(1 << 20)
					workers.Go(func() {
						for range 8 {
							if err := c.Take(n); err != nil {
								if !errors.Is(err, ErrBusy) && !errors.Is(err, ErrTooLarge) {
									t.Error(err)
								}
								return
							}
							c.Give(n / 2)
							if used := b.Used(); used > b.Size() {
								t.Errorf("%d of %d bytes are taken", used, b.Size())
							}
						}
					})
				}
				workers.Wait()
				c.Release()
			}
		})
	}
	wg.Wait()
	if b.Used() != 0 || b.holders != 0 || b.stuck != 0 || b.waiting.Len() != 0 {
		t.Errorf("left: %d bytes, %d holders, %d stuck, %d waiting", b.Used(), b.holders, b.stuck, b.waiting.Len())
	}
}

func TestNil(t *testing.T) {
	var b *Budget
	c := b.Claim(t.Context())
	if err := c.Take(1 << 50); err != nil {
		t.Error(err)
	}
	c.Give(1)
	c.Release()
	if From(With(t.Context(), c)) != nil || b.Used() != 0 || b.Size() != 0 {
		t.Error("no budget has a bound")
	}
	c = NewBudget("", 1, 0).Claim(t.Context())
	if From(With(t.Context(), c)) != c {
		t.Error("claim is not in the context")
	}
}
