// SPDX-License-Identifier: Apache-2.0

package limit

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// clock is a clock that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func newTest(cfg Config) (*Limiter, *clock) {
	c := &clock{t: time.Unix(1_700_000_000, 0)}
	cfg.Now = c.now
	return New(cfg), c
}

// TestRate sends as fast as it is told to for ten minutes: the rate holds, and
// the wait that is asked for is enough.
func TestRate(t *testing.T) {
	l, c := newTest(Config{Host: Amount{Samples: 1000}})
	start, sent := c.now(), int64(0)
	for c.now().Sub(start) < 10*time.Minute {
		if e := l.Allow("p", "h", Amount{Samples: 7000}); e != nil {
			if e.Limit != "samples" || e.Scope != "host" || e.Value != 1000 || e.Wait <= 0 || e.Wait > 10*time.Second {
				t.Fatalf("refused: %+v", e)
			}
			c.add(e.Wait)
			if e := l.Allow("p", "h", Amount{Samples: 7000}); e != nil {
				t.Fatalf("refused after the wait: %v", e)
			}
		}
		sent += 7000
	}
	if want := int64(1000 * (600 + 10)); sent < want-7000 || sent > want+2*7000 {
		t.Errorf("%d samples in ten minutes, want about %d", sent, want)
	}
}

func TestScopes(t *testing.T) {
	l, c := newTest(Config{
		Host: Amount{Bytes: 100, Series: 10}, Project: Amount{Bytes: 150}, HostsPerProject: 3, Burst: time.Second,
	})
	for _, step := range []struct {
		project, host string
		cost          Amount
		want          string // part of the refusal
	}{
		{"a", "1", Amount{Bytes: 100}, ""},
		{"a", "1", Amount{Bytes: 1}, `host "1" sends more than its limit of 100 bytes per second`},
		{"a", "1", Amount{Series: 50}, ""},
		{"a", "1", Amount{Series: 1}, `host "1" sends more than its limit of 10 series per second`},
		{"a", "1", Amount{Samples: 1 << 40}, ""},
		{"a", "2", Amount{Bytes: 90}, ""},
		{"a", "3", Amount{Bytes: 1}, `project "a" sends more than its limit of 150 bytes per second`},
		{"a", "4", Amount{Bytes: 1}, `project "a" has its limit of 3 hosts`},
		{"b", "4", Amount{Bytes: 1}, ""},
		{"b", "1", Amount{Bytes: 1}, ""},
	} {
		e := l.Allow(step.project, step.host, step.cost)
		if (e == nil) != (step.want == "") || (e != nil && !strings.Contains(e.Error(), step.want)) {
			t.Errorf("%+v: %v", step, e)
		}
	}
	c.add(2 * time.Hour)
	if e := l.Allow("a", "4", Amount{Bytes: 1}); e != nil {
		t.Errorf("hosts that rest are not forgotten: %v", e)
	}
	if n := l.Hosts(); n != 1 {
		t.Errorf("%d hosts are remembered, want 1", n)
	}
}

// TestManyHosts invents hosts, as a stranger would.
func TestManyHosts(t *testing.T) {
	l, c := newTest(Config{Host: Amount{Bytes: 1}, MaxHosts: 100})
	for i := range 10_000 {
		e := l.Allow(fmt.Sprint("p", i%7), fmt.Sprint("h", i), Amount{Bytes: 1})
		if (e != nil) != (i >= 100) {
			t.Fatalf("host %d: %v", i, e)
		}
		if e != nil && (e.Scope != "server" || e.Error() != "all projects together have the limit of 100 hosts that send") {
			t.Fatalf("host %d: %s: %v", i, e.Scope, e)
		}
	}
	if n := l.Hosts(); n != 100 {
		t.Errorf("%d hosts are remembered", n)
	}
	c.add(2 * time.Hour)
	if e := l.Allow("p0", "new", Amount{Bytes: 1}); e != nil || l.Hosts() != 1 {
		t.Errorf("after a rest: %v, %d hosts", e, l.Hosts())
	}
}

func TestClockStepsBack(t *testing.T) {
	l, c := newTest(Config{Host: Amount{Bytes: 10}})
	c.add(-time.Hour)
	if e := l.Allow("p", "h", Amount{Bytes: 1000}); e != nil {
		t.Fatal(e)
	}
	c.add(-time.Hour)
	if e := l.Allow("p", "h", Amount{Bytes: 1}); e == nil || e.Wait > 2*time.Minute {
		t.Errorf("after a step back: %+v", e)
	}
}

func BenchmarkAllow(b *testing.B) {
	l := New(Config{Host: Amount{Bytes: 1 << 40, Samples: 1 << 40, Series: 1 << 40}, Project: Amount{Bytes: 1 << 40}})
	for b.Loop() {
		_ = l.Allow("p", "h", Amount{Bytes: 1, Samples: 1})
	}
}
