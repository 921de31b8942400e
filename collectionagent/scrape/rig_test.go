// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/pprof"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"github.com/strobe-profiler/strobe/collectionagent/ingest"
	"github.com/strobe-profiler/strobe/collectionagent/query"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
	"github.com/strobe-profiler/strobe/libpf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a scraper with a store, which may be made to refuse.
type rig struct {
	t       *testing.T
	dir     string
	file    string
	store   *slowStore
	scraper *Scraper
	log     *lockedLog
	stop    func()
}

// slowStore is a store that can be full.
type slowStore struct {
	store.Store
	mu   sync.Mutex
	fail error
}

func (s *slowStore) setFail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func (s *slowStore) Append(ctx context.Context, b *store.Batch) (bool, error) {
	s.mu.Lock()
	err := s.fail
	s.mu.Unlock()
	if err != nil {
		return false, err
	}
	return s.Store.Append(ctx, b)
}

type lockedLog struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newRig starts nothing.
func newRig(t *testing.T, config string) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), log: &lockedLog{}, store: &slowStore{Store: memstore.New()}}
	r.file = filepath.Join(r.dir, "scrape.yaml")
	writeFile(t, r.file, config)
	in, err := ingest.New(ingest.Config{Store: r.store})
	if err != nil {
		t.Fatal(err)
	}
	r.scraper, err = New(Options{
		File: r.file, Ingest: in, UserAgent: "strobe-test/1", Registerer: prometheus.NewRegistry(),
		Logger: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// run runs the scraper until the test ends.
func (r *rig) run() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.scraper.Run(ctx)
	}()
	r.stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	r.t.Cleanup(r.stop)
}

// once scrapes all endpoints of the file once, in the order of their profiles.
func (r *rig) once() []Target {
	r.t.Helper()
	ctx := r.t.Context()
	if len(r.scraper.endpoints) == 0 {
		r.scraper.discovery.look(time.Now(), r.scraper.config.jobs, r.scraper.noteFile)
		specs, problems := r.scraper.specs()
		if len(problems) > 0 {
			r.t.Fatal(problems)
		}
		for k, sp := range specs {
			r.scraper.endpoints[k] = &endpoint{scraper: r.scraper, spec: sp, labels: sp.labelMap()}
		}
		r.t.Cleanup(func() {
			for _, e := range r.scraper.endpoints {
				e.forget()
			}
			for _, c := range r.scraper.clients {
				c.close()
			}
			if n := r.scraper.reading.used.Load() + r.scraper.kept.used.Load(); n != 0 {
				r.t.Errorf("%d bytes are not given back", n)
			}
		})
	}
	for _, e := range r.scraper.endpoints {
		e.turn(ctx)
	}
	return r.scraper.Targets("default")
}

// folded returns the stacks of a type that are stored, by service, job and instance.
func (r *rig) folded(typ libpf.SampleType) string {
	r.t.Helper()
	matchers, err := query.ParseSelector("{}")
	if err != nil {
		r.t.Fatal(err)
	}
	var out bytes.Buffer
	engine := query.NewEngine(r.store, query.Options{})
	now := time.Now()
	_, err = engine.WriteFolded(r.t.Context(), &query.Selection{
		Project: "default", Type: typ, Matchers: matchers,
		From: libpf.UnixTimeNs(now.Add(-time.Hour).UnixNano()), To: libpf.UnixTimeNs(now.Add(time.Hour).UnixNano()),
	}, []string{"service", "job", "instance"}, &out)
	if err != nil {
		r.t.Fatal(err)
	}
	return out.String()
}

// total returns the sum of the stacks of a type that have a text in them.
func (r *rig) total(typ libpf.SampleType, with string) (sum int64) {
	r.t.Helper()
	for line := range strings.Lines(r.folded(typ)) {
		stack, number, ok := cutLast(strings.TrimSpace(line))
		if !ok || !strings.Contains(stack, with) {
			continue
		}
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			r.t.Fatalf("line %q: %v", line, err)
		}
		sum += n
	}
	return sum
}

func cutLast(line string) (stack, number string, ok bool) {
	i := strings.LastIndexByte(line, ' ')
	if i < 0 {
		return "", "", false
	}
	return line[:i], line[i+1:], true
}

// counter returns the value of a counter.
func counter(c prometheus.Metric) float64 {
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		panic(err)
	}
	return m.GetCounter().GetValue() + m.GetGauge().GetValue()
}

// served starts a server of Go's profiles and returns its address.
func served(t *testing.T, handlers map[string]http.HandlerFunc) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	for path, f := range handlers {
		mux.HandleFunc(path, f)
	}
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// jobFor is a configuration with one target and one profile.
func jobFor(address, profile, more string) string {
	if profile == "" {
		profile = "mine: {path: /mine}"
	}
	off := ""
	for _, name := range []string{"memory", "mutex", "block", "goroutine", "process_cpu"} {
		if !strings.HasPrefix(profile, name+":") {
			off += ", " + name + ": {enabled: false}"
		}
	}
	return fmt.Sprintf("scrape_configs:\n- job_name: shop\n  scrape_interval: 2s\n  scrape_timeout: 1m\n  static_configs: [{targets: ['%s']}]\n"+
		"  profiling_config: {pprof_config: {%s%s}}\n  %s\n", address, profile, off, more)
}

// discardLog is for servers that fail on purpose.
func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }
