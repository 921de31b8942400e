// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a network of its own, whose time can be that of a test.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.done:
	case <-ctx.Done():
	}
	return nil, errors.Join(net.ErrClosed, here.Close(), there.Close())
}

// Accept implements net.Listener.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

// Addr implements net.Listener.
func (*pipes) Addr() net.Addr { return &net.TCPAddr{} }

// waits runs a server and a reporter that has something to send for as long as the clock of
// the test says, and returns how long it was between the calls.
func waits(t *testing.T, howLong time.Duration, fault httpFault) (gaps []time.Duration, stored uint64) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		var calls []time.Time
		s := &otlpServer{t: t}
		s.httpFault = func(call int, w http.ResponseWriter, r *http.Request) bool {
			calls = append(calls, time.Now())
			return fault(call, w, r)
		}
		s.serveHTTPOn(network, nil)
		r, err := startOTLP(t.Context(), &Config{CollAgentAddr: "http://server"},
			&Options{HostID: "h", Protocol: ProtocolHTTP}, func(st *settings) (transport, error) {
				link, err := dialHTTP(st, "")
				if err == nil {
					link.client.DialContext, link.client.Proxy = network.dial, nil
				}
				return link, err
			})
		if err != nil {
			t.Fatal(err)
		}
		reportOTLP(r, 0, 10)
		time.Sleep(howLong)
		stored = checkLedger(t, r).Stored
		r.Stop()
		for i := range calls[1:] {
			gaps = append(gaps, calls[i+1].Sub(calls[i]))
		}
	})
	return gaps, stored
}

// Nobody comes before the time that the server names, in either form.
func TestOTLPRetryAfter(t *testing.T) {
	t.Parallel()
	date := func() string { return time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat) }
	gaps, stored := waits(t, time.Hour, func(call int, w http.ResponseWriter, _ *http.Request) bool {
		switch call {
		case 1:
			w.Header().Set("Retry-After", "120")
			answerHTTP(w, http.StatusTooManyRequests, "busy")
		case 2:
			w.Header().Set("Retry-After", date())
			answerHTTP(w, http.StatusServiceUnavailable, "busy")
		case 3:
			w.Header().Set("Retry-After", "99999999999999999999")
			answerHTTP(w, http.StatusBadGateway, "busy")
		case 4:
			w.Header().Set("Retry-After", "9999999999")
			answerHTTP(w, http.StatusGatewayTimeout, "busy")
		default:
			return false
		}
		return true
	})
	if len(gaps) != 4 || stored != 10 {
		t.Fatalf("%d stored after gaps %v", stored, gaps)
	}
	for i, least := range []time.Duration{120 * time.Second, 90 * time.Second, 0, maxRetryInfo} {
		if most := 4*least + 2*maxBackoff; gaps[i] < least || gaps[i] > most {
			t.Errorf("wait %d took %v, want %v to %v", i, gaps[i], least, most)
		}
	}
}

// Without a word of the server the waits grow, to a minute at most, and are random.
func TestOTLPBackoff(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]httpFault{
		"unavailable": func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			answerHTTP(w, http.StatusServiceUnavailable, "away")
			return true
		},
		"no answer": func(_ int, _ http.ResponseWriter, r *http.Request) bool {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gaps, stored := waits(t, 10*time.Hour, fault)
			if stored != 0 || len(gaps) < 400 || len(gaps) > 2500 { // one in half a minute on average, or a little less
				t.Fatalf("%d attempts in ten hours", len(gaps)+1)
			}
			distinct := map[time.Duration]bool{}
			for _, gap := range gaps {
				distinct[gap] = true
				if gap > maxBackoff+6*time.Second { // and the interval of reports, or a deadline
					t.Errorf("a wait of %v", gap)
				}
			}
			if len(distinct) < len(gaps)/2 {
				t.Errorf("%d different waits of %d", len(distinct), len(gaps))
			}
		})
	}
}

// A backend that refuses the agent is asked again every ten minutes, ±30 %.
func TestOTLPRefused(t *testing.T) {
	t.Parallel()
	gaps, stored := waits(t, 10*time.Hour, func(call int, w http.ResponseWriter, _ *http.Request) bool {
		if call > 20 {
			return false
		}
		answerHTTP(w, http.StatusForbidden, "no")
		return true
	})
	if len(gaps) != 20 || stored != 10 {
		t.Fatalf("%d stored after gaps %v", stored, gaps)
	}
	for _, gap := range gaps {
		if gap < 7*time.Minute || gap > 13*time.Minute+6*time.Second {
			t.Errorf("a wait of %v", gap)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	const date = "Sat, 21 Nov 2026 10:00:00 GMT"
	for value, want := range map[string]time.Duration{
		"": -1, "x": -1, "-1": -1, "1.5": -1, "0": 0, " 7 ": 7 * time.Second, "9999999": maxRetryInfo,
		"18446744073709551615": maxRetryInfo, "Sat, 21 Nov 2026 10:01:00 GMT": time.Minute, "Sat, 21 Nov 2026 09:00:00 GMT": 0,
		"Saturday, 21-Nov-26 10:00:10 GMT": 10 * time.Second, "Sat, 21 Nov 2099 10:01:00 GMT": maxRetryInfo,
	} {
		got, ok := retryAfter(http.Header{"Retry-After": {value}, "Date": {date}})
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("%q: %v, %v", value, got, ok)
		}
	}
}
