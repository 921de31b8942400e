// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/collectionagent/ingest"
)

// Bounds that have no setting.
const (
	// maxEndpoints is how many profiles of targets are scraped. Each has a goroutine.
	maxEndpoints = 10_000
	// maxOpen is how many requests wait for targets at once.
	maxOpen = 2_000
	// maxProblems is how many of them are told.
	maxProblems = 100
	// lookEvery is how often files are looked at.
	lookEvery = 5 * time.Second
)

// Options are what [New] needs.
type Options struct {
	// File says what to scrape.
	File string
	// Ingest takes the profiles. nil: nothing is scraped, the file is only read.
	Ingest *ingest.Server
	// UserAgent is sent to targets.
	UserAgent string
	// Logger defaults to none, Registerer to none.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Scraper scrapes what a file says. It is safe for concurrent use.
type Scraper struct {
	options Options
	logger  *slog.Logger
	metrics *metrics
	open    chan struct{} // has room for those who wait for targets
	working chan struct{} // and for those who work on answers
	reading share         // for what targets answer
	kept    share         // for what they said of values that count since their start
	again   chan struct{} // asks to read the file again

	// Of the goroutine of Run.
	file      watched
	config    *config
	clients   map[clientConfig]*client
	discovery discovery
	wrong     map[string]error // files that cannot be used

	mu        sync.Mutex
	endpoints map[key]*endpoint
	problems  []string
}

// Check reads the file and those that it names, but not those with targets.
func Check(file string) error {
	_, err := New(Options{File: file})
	return err
}

// New reads the file. An error names what is wrong with it. Nothing is scraped before
// [Scraper.Run].
func New(o Options) (*Scraper, error) {
	s := &Scraper{
		options: o, logger: o.Logger, open: make(chan struct{}, maxOpen), working: make(chan struct{}, 2*runtime.GOMAXPROCS(0)),
		again: make(chan struct{}, 1), file: watched{path: o.File}, wrong: map[string]error{}, endpoints: map[key]*endpoint{},
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if o.Ingest != nil {
		all := o.Ingest.MemoryBytes()
		s.reading.in, s.reading.limit = o.Ingest, all/2
		s.reading.full = "the answers of targets take all the memory there is for them, half of -ingest-memory"
		s.kept.in, s.kept.limit = o.Ingest, all/8
		s.kept.full = "what is kept of memory, mutex and block profiles takes all the memory there is for it, an eighth of -ingest-memory: " +
			"scrape fewer of them, or let targets make the difference with seconds"
	}
	var err error
	if s.metrics, err = newMetrics(s, o.Registerer); err != nil {
		return nil, err
	}
	content, _, err := s.file.changed(time.Now(), true)
	if err == nil {
		err = s.use(content)
	}
	if err != nil {
		return nil, fmt.Errorf("-scrape-config: %w", err)
	}
	return s, nil
}

// use makes what the file says the configuration in force, if it is right.
func (s *Scraper) use(content []byte) error {
	c, err := readConfig(s.file.path, content)
	if err != nil {
		return err
	}
	clients := map[clientConfig]*client{}
	for _, j := range c.jobs {
		if clients[j.client] != nil {
			continue
		}
		known := s.clients[j.client]
		if known == nil {
			if known, err = newClient(j.client, s.options.UserAgent, s.logger); err != nil {
				return fmt.Errorf("%s: job %s: %w", s.file.path, j.name, err)
			}
		}
		clients[j.client] = known
	}
	s.config, s.clients = c, clients
	return nil
}

// Reload has [Scraper.Run] read the file again soon, even if nothing shows that it was
// written.
func (s *Scraper) Reload() {
	select {
	case s.again <- struct{}{}:
	default: // somebody asked already
	}
}

// Run scrapes until the context ends, and then until the last request has. It is called
// once.
func (s *Scraper) Run(ctx context.Context) {
	defer s.stop()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	s.look(ctx, false, true)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.look(ctx, false, false)
		case <-s.again:
			s.look(ctx, true, false)
		}
	}
}

// look reads the files that have changed, and has endpoints start and stop.
func (s *Scraper) look(ctx context.Context, force, first bool) {
	before := s.clients
	changed := first
	content, isNew, err := s.file.changed(time.Now(), force)
	if err == nil && isNew {
		if err = s.use(content); err == nil {
			changed = true
		}
	} else if err == nil && force && s.file.failed == "" {
		s.logger.Info("scrape configuration is as before", "file", s.file.path)
	}
	if s.noteConfig(err, isNew) {
		changed = true // of what is told
	}
	if s.discovery.look(time.Now(), s.config.jobs, func(path string, err error) {
		s.noteFile(path, err)
		changed = true // of what is told
	}) {
		changed = true
	}
	for path := range s.wrong {
		if s.discovery.files[path] == nil { // gone
			delete(s.wrong, path)
			changed = true
		}
	}
	if changed {
		s.apply(ctx)
	}
	for c, old := range before {
		if s.clients[c] == nil {
			old.close()
		}
	}
}

// noteConfig counts and logs what became of the file. It reports whether that is news.
func (s *Scraper) noteConfig(err error, isNew bool) (news bool) {
	news = s.file.fail(err)
	switch {
	case err != nil && news:
		s.metrics.reloads.WithLabelValues("failed").Inc()
		s.logger.Error("scrape configuration cannot be used, the one of before stays in force", "err", err)
	case err == nil && isNew:
		s.metrics.reloads.WithLabelValues("changed").Inc()
		s.logger.Info("read scrape configuration", "file", s.file.path, "jobs", len(s.config.jobs))
	}
	return news
}

// noteFile counts and logs what became of a file with targets.
func (s *Scraper) noteFile(path string, err error) {
	if err == nil {
		delete(s.wrong, path)
		s.logger.Info("file with targets can be used again", "file", path)
		return
	}
	s.wrong[path] = err
	s.metrics.fileError.Inc()
	s.logger.Error("file with targets cannot be used, its targets stay as they were", "err", err)
}

// apply starts and stops endpoints so that they are those of the files.
func (s *Scraper) apply(ctx context.Context) {
	specs, problems := s.specs()
	s.mu.Lock()
	current := s.endpoints
	s.mu.Unlock()
	var ended []*endpoint
	for k, e := range current {
		if sp, ok := specs[k]; !ok || sp != e.spec {
			e.stop()
			ended = append(ended, e)
		}
	}
	for _, e := range ended {
		<-e.done
	}
	next := make(map[key]*endpoint, len(specs))
	for k, sp := range specs {
		if old := current[k]; old == nil || old.spec != sp {
			next[k] = s.start(ctx, sp, old)
		} else {
			next[k] = old
		}
	}
	for _, e := range ended {
		if next[e.spec.key()] == nil {
			e.forget()
		}
	}
	s.mu.Lock()
	s.endpoints, s.problems = next, problems
	s.mu.Unlock()
	if len(ended) > 0 || len(next) != len(current) {
		s.logger.Info("targets changed", "profiles", len(next), "before", len(current), "left_out", len(problems))
	}
}

// specs returns all endpoints of the files, and what is wrong with them.
func (s *Scraper) specs() (map[key]spec, []string) {
	all := map[key]spec{}
	var problems []string
	leftOut := 0
	problem := func(text string) {
		if len(problems) < maxProblems {
			problems = append(problems, text)
		}
	}
	if s.file.failed != "" {
		problem(s.file.failed)
	}
	for _, err := range s.wrong {
		problem(err.Error())
	}
	for _, j := range s.config.jobs {
		targets, over := 0, 0
		for _, g := range s.discovery.groups(j) {
			for _, address := range g.targets {
				list, err := j.endpoints(nil, address, g.labels, s.clients[j.client])
				if err != nil {
					leftOut++
					problem(fmt.Sprintf("job %s: target %s: %v", j.name, address, err))
					continue
				}
				if len(list) == 0 {
					continue // dropped by a rule
				}
				if targets++; j.targetLimit > 0 && targets > j.targetLimit || len(all)+len(list) > maxEndpoints {
					over++
					continue
				}
				for _, sp := range list {
					all[sp.key()] = sp
				}
			}
		}
		if over > 0 {
			leftOut += over
			problem(fmt.Sprintf("job %s: %d targets are left out: target_limit is %d (0: none), and %d profiles of targets are scraped at most",
				j.name, over, j.targetLimit, maxEndpoints))
		}
	}
	slices.Sort(problems)
	s.metrics.leftOut.Set(float64(leftOut))
	return all, problems
}

// stop ends all endpoints.
func (s *Scraper) stop() {
	s.mu.Lock()
	all := s.endpoints
	s.endpoints = map[key]*endpoint{}
	s.mu.Unlock()
	for _, e := range all {
		e.stop()
	}
	for _, e := range all {
		<-e.done
		e.forget()
	}
	for _, c := range s.clients {
		c.close()
	}
}
