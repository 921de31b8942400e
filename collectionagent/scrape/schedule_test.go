// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/ingest"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
)

// answerer is a transport without a network.
type answerer func(*http.Request) (*http.Response, error)

func (a answerer) RoundTrip(r *http.Request) (*http.Response, error) { return a(r) }

// bubble returns a scraper of one job that asks a function, in a bubble of synctest.
func bubble(t *testing.T, config string, ask answerer) *Scraper {
	t.Helper()
	in, err := ingest.New(ingest.Config{Store: memstore.New()})
	if err != nil {
		t.Fatal(err)
	}
	file := t.TempDir() + "/scrape.yaml"
	writeFile(t, file, config)
	s, err := New(Options{File: file, Ingest: in})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range s.clients {
		c.http.Transport = ask
	}
	return s
}

// runFor runs a scraper for a time, and returns what ends it.
func runFor(t *testing.T, s *Scraper, d time.Duration) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	time.Sleep(d)
	synctest.Wait()
	return func() {
		cancel()
		<-done
	}
}

func answerOf(b []byte) *http.Response {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(b)), ContentLength: -1}
}

// TestSchedule checks that scrapes come once per interval, at the same time in it.
func TestSchedule(t *testing.T) {
	t.Parallel()
	good := profileBytes(t, "work 10 5")
	synctest.Test(t, func(t *testing.T) {
		var times []time.Time
		s := bubble(t, jobFor("h:1", "", ""), func(*http.Request) (*http.Response, error) {
			times = append(times, time.Now())
			time.Sleep(100 * time.Millisecond)
			return answerOf(good), nil
		})
		runFor(t, s, time.Hour+time.Millisecond)()
		if len(times) != 1800 {
			t.Errorf("%d scrapes in an hour, want 1800", len(times))
		}
		for i := 1; i < len(times); i++ {
			if d := times[i].Sub(times[i-1]); d != 2*time.Second {
				t.Fatalf("%s between scrapes", d)
			}
		}
		if n := counter(s.metrics.skipped.WithLabelValues("late")); n != 0 {
			t.Errorf("%v are counted as late", n)
		}
	})
}

// TestLate checks that what takes longer than the interval skips turns, and never has
// two requests open.
func TestLate(t *testing.T) {
	t.Parallel()
	good := profileBytes(t, "work 10 5")
	synctest.Test(t, func(t *testing.T) {
		scrapes, open := 0, 0
		s := bubble(t, jobFor("h:1", "", ""), func(*http.Request) (*http.Response, error) {
			if open++; open > 1 {
				t.Error("two requests are open")
			}
			scrapes++
			time.Sleep(4500 * time.Millisecond) // two turns of 2 s are over
			open--
			return answerOf(good), nil
		})
		stop := runFor(t, s, time.Minute)
		if n := counter(s.metrics.skipped.WithLabelValues("late")); scrapes != 10 || n < 18 || n > 20 {
			t.Errorf("%d scrapes, %v turns skipped", scrapes, n)
		}
		if got := s.Targets("default")[0]; got.State != Up || got.Duration != 4500*time.Millisecond || got.Next.Before(time.Now().Add(-5*time.Second)) {
			t.Errorf("%+v", got)
		}
		stop()
	})
}

// TestTimeout checks how long a scrape may take: seconds of the profile and the timeout.
func TestTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var took time.Duration
		s := bubble(t, strings.Replace(jobFor("h:1", "process_cpu: {seconds: 1}", ""), "scrape_timeout: 1m", "scrape_timeout: 5s", 1), func(r *http.Request) (*http.Response, error) {
			start := time.Now()
			<-r.Context().Done()
			took = time.Since(start)
			return nil, r.Context().Err()
		})
		stop := runFor(t, s, 9*time.Second)
		if took != 6*time.Second {
			t.Errorf("the request ended after %s, want 6s", took)
		}
		if got := s.Targets("default")[0]; got.State != Down || got.Error != "the target did not answer in time" {
			t.Errorf("%+v", got)
		}
		stop()
	})
}

// TestBusy bounds how many requests wait for targets.
func TestBusy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := bubble(t, jobFor("h:1', 'h:2', 'h:3", "", ""), func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		s.open = make(chan struct{}, 2)
		stop := runFor(t, s, 3*time.Second)
		if n := counter(s.metrics.skipped.WithLabelValues("busy")); n < 1 || len(s.open) != 2 {
			t.Errorf("%d are open, %v turns skipped", len(s.open), n)
		}
		stop()
	})
}

// TestEnd checks that the end of the scraper ends requests, and says nothing of targets.
func TestEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var ended sync.WaitGroup
		s := bubble(t, jobFor("h:1", "", ""), func(r *http.Request) (*http.Response, error) {
			ended.Add(1)
			defer ended.Done()
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		runFor(t, s, 3*time.Second)()
		ended.Wait()
		if n := counter(s.metrics.scrapes.WithLabelValues("failed", "timeout")); n != 0 || len(s.Targets("default")) != 0 {
			t.Errorf("%v are counted, targets %v", n, s.Targets("default"))
		}
	})
}
