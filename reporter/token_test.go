// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

// guard refuses RPCs that do not carry the token.
type guard struct {
	mu    sync.Mutex
	token string
}

func (g *guard) set(token string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.token = token
}

func (g *guard) check(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	g.mu.Lock()
	want := []string{"Bearer " + g.token}
	g.mu.Unlock()
	if md, _ := metadata.FromIncomingContext(ctx); strings.Join(md["authorization"], ",") != want[0] {
		return nil, status.Error(codes.Unauthenticated, "no such token")
	}
	return next(ctx, req)
}

// A token is replaced while everything runs; what came meanwhile is kept, and the
// new one is used at once although a refusal is otherwise waited out for minutes.
func TestTokenRotation(t *testing.T) {
	t.Parallel()
	g := &guard{token: "first-secret"}
	s := newFakeServer(t)
	addr := s.serve(grpc.UnaryInterceptor(g.check))
	path := filepath.Join(t.TempDir(), "token")
	var logs bytes.Buffer
	r := startTest(t, addr, func(c *Config, o *Options) {
		times := fastTimes()
		times.auth = time.Hour
		c.Times = times
		o.TokenFile = path
		o.Logger = slog.New(slog.NewTextHandler(&logs, nil))
	})
	report(r, 0, 10)
	eventually(t, "it is refused", func() bool { return r.Status().State == StateRefused })
	if msg := r.Status().LastError; !strings.Contains(msg, path) || !strings.Contains(msg, "token file") {
		t.Errorf("error %q", msg)
	}
	write := func(text string) {
		// As it is done by hand, in place, and with the same size.
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first-secret\n")
	eventually(t, "everything is stored", func() bool { return s.stored() == 10 })
	if err := r.ReportHostMetadataBlocking(t.Context(), nil, 0, 0); err != nil {
		t.Error(err)
	}
	g.set("other-secret")
	report(r, 10, 20)
	eventually(t, "it is refused", func() bool { return r.Status().State == StateRefused })
	if msg := r.Status().LastError; !strings.Contains(msg, "valid one in its token file") || !strings.Contains(msg, "no such token") {
		t.Errorf("error %q", msg)
	}
	if l := checkLedger(t, r); l.Queued != 10 {
		t.Errorf("ledger %+v", l)
	}
	write("other-secret\n")
	eventually(t, "everything is stored", func() bool { return s.stored() == 20 })
	write("not\x00a token\n")
	eventually(t, "it is refused", func() bool {
		report(r, 20, 21)
		return r.Status().State == StateRefused
	})
	r.Stop()
	if text := logs.String() + r.Status().LastError; strings.Contains(text, "secret") || strings.Contains(text, "a token\n") {
		t.Errorf("a token is told: %s", text)
	}
}

func TestTokenAndTransport(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for address, loopback := range map[string]bool{
		"127.0.0.1:1": true, "[::1]:1": true, "localhost:1": true, "unix:///run/x": true, "dns:///localhost:1": true,
		"10.0.0.1:1": false, "example.com:1": false, "localhost.example.com:1": false, "nonsense": false,
	} {
		for _, disabled := range []bool{false, true} {
			s := settings{Config: Config{CollAgentAddr: address, DisableTLS: disabled}, Options: Options{TokenFile: path, Logger: slog.New(slog.DiscardHandler)}}
			token := newTokenFile(&s)
			if got, want := token.RequireTransportSecurity(), !disabled && !loopback; got != want {
				t.Errorf("%s, TLS disabled %v: requires security: %v", address, disabled, got)
			}
		}
	}
	_, err := newSettings(&Config{CollAgentAddr: "a:1"}, &Options{TokenFile: path, Headers: map[string]string{"Authorization": "Bearer y"}})
	if err == nil || !strings.Contains(err.Error(), "token file") {
		t.Errorf("two authorizations: %v", err)
	}
}

// The server is told how the agent does, and a server that does not want to know is
// left alone.
func TestStatusReport(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	r := startSpool(t, s.serve(), t.TempDir(), func(_ *Config, o *Options) {
		o.AgentVersion = "1.2.3"
		o.StopTimeout = time.Minute // Stop delivers, however busy the machine is
		o.Limitations = func() []Limitation { return []Limitation{{"off-CPU", "no waits", "update the kernel"}} }
	})
	reports := func() []*pb.ReportStatusRequest {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.statusReports
	}
	eventually(t, "it says that it is connected", func() bool { return len(reports()) == 1 })
	report(r, 0, 10)
	eventually(t, "it is stored", func() bool { return s.stored() == 10 })
	s.setFault(func(method string, _ proto.Message) error {
		if method == "status" {
			return nil
		}
		return errAway
	})
	report(r, 10, 20)
	eventually(t, "it is on disk", func() bool { return r.Status().Ledger.Spooled == 10 })
	s.setFault(nil)
	eventually(t, "it says that it is connected again", func() bool { return len(reports()) >= 2 })
	r.Stop()
	last := reports()[len(reports())-1]
	if last.GetState() != "stopped" || last.GetAgentVersion() != "1.2.3" || last.GetLedger().GetCaptured() != 20 ||
		last.GetLedger().GetStored() != 20 || last.GetLimitations()[0].GetFix() != "update the kernel" ||
		last.GetSpool().GetMaxBytes() != 16<<20 || last.GetStartTime() == 0 || last.GetTime() < last.GetStartTime() || last.GetLastError() == "" {
		t.Errorf("report %v", last)
	}
	if n := len(reports()); n > 6 {
		t.Errorf("%d reports within a moment", n)
	}
	old := newFakeServer(t)
	old.fault = func(method string, _ proto.Message) error {
		if method == "status" {
			return status.Error(codes.Unimplemented, "what?")
		}
		return nil
	}
	r = startTest(t, old.serve(), nil)
	report(r, 0, 10)
	eventually(t, "it is stored", func() bool { return r.Status().Ledger.Stored == 10 })
	r.Stop()
	if n := old.countCalls("status"); n != 1 {
		t.Errorf("%d calls", n)
	}
}

// A server of another version is waited for, and people are told.
func TestProtocolVersion(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	s.version = 2
	r := startTest(t, s.serve(), nil)
	report(r, 0, 10)
	eventually(t, "it is refused", func() bool { return r.Status().State == StateRefused })
	if msg := r.Status().LastError; !strings.Contains(msg, "version 2 of the protocol") || !strings.Contains(msg, "bring both to versions") {
		t.Errorf("error %q", msg)
	}
	s.mu.Lock()
	s.version = 1
	s.mu.Unlock()
	eventually(t, "everything is stored", func() bool { return s.stored() == 10 })
}

// Whatever a server asks for is waited out, and then some, in proportion.
func TestOverloadSpreads(t *testing.T) {
	t.Parallel()
	const wait = 10 * time.Second
	var least, most time.Duration
	for i := range 200 {
		s := settings{timers: newTimers(fastTimes())}
		s.Logger = slog.New(slog.DiscardHandler)
		p := &pump{log: s.Logger, settings: &s, reached: true, ctx: t.Context()}
		p.failWith("x", status.Error(codes.ResourceExhausted, ""), answer{verdict: overloaded, wait: wait})
		delay := time.Until(p.retryAt)
		if i == 0 {
			least, most = delay, delay
		}
		least, most = min(least, delay), max(most, delay)
	}
	if least < wait-time.Second || most > 2*wait+time.Second || most-least < wait/2 {
		t.Errorf("delays from %v to %v", least, most)
	}
}

// A limit that the server did not announce is learnt from its refusals.
func TestLearntLimit(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t)
	r := startTest(t, s.serve(), func(c *Config, _ *Options) {
		times := fastTimes()
		times.report = time.Minute // flushed when it is woken
		c.Times = times
	})
	r.pump.wake()
	eventually(t, "connected", func() bool { return r.Status().Connected })
	s.mu.Lock()
	s.maxBytes = 20_000
	s.mu.Unlock()
	flood := func(from int) {
		for i := range 12_000 {
			sample := sampleOf(nativeTrace(uint64(i%25), 6), from+i)
			sample.Comm = strings.Repeat("x", i%40)
			r.ReportSample(sample)
		}
		r.pump.wake()
		eventually(t, "it is settled", func() bool { return r.Status().Ledger.Queued == 0 })
	}
	flood(0)
	if limit := r.requestLimit(); limit < minLearntLimit || limit > 1<<20 {
		t.Errorf("limit %d", limit)
	}
	if l := checkLedger(t, r); l.Stored != 12_000 {
		t.Errorf("ledger %+v", l)
	}
}
