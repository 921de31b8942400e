// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/collectionagent/api"
	"github.com/strobe-profiler/strobe/collectionagent/ingest"
	"github.com/strobe-profiler/strobe/collectionagent/scrape"
	"github.com/strobe-profiler/strobe/internal/buildinfo"
)

// scraping is what -scrape-config asks for.
type scraping struct {
	scraper *scrape.Scraper // nil: nothing
	hangups chan os.Signal
	running sync.WaitGroup
	stop    context.CancelFunc
}

// newScraping reads the file. From now on a SIGHUP has it read again: one that comes before the
// store is ready must not end the process.
func newScraping(c *Config, in *ingest.Server, logger *slog.Logger, registerer prometheus.Registerer) (*scraping, error) {
	if c.ScrapeConfig == "" {
		return &scraping{}, nil
	}
	scraper, err := scrape.New(scrape.Options{
		File: c.ScrapeConfig, Ingest: in, UserAgent: "strobe-collectionagent/" + buildinfo.Version(), Logger: logger, Registerer: registerer,
	})
	if err != nil {
		return nil, err
	}
	s := &scraping{scraper: scraper, hangups: make(chan os.Signal, 1)}
	signal.Notify(s.hangups, syscall.SIGHUP)
	return s, nil
}

// targets returns what the API tells of.
func (s *scraping) targets() api.Targets {
	if s.scraper == nil {
		return nil // not an interface that holds nil
	}
	return s.scraper
}

// start begins to scrape.
func (s *scraping) start(ctx context.Context) {
	if s.scraper == nil {
		return
	}
	ctx, s.stop = context.WithCancel(ctx)
	s.running.Go(func() {
		for {
			select {
			case <-s.hangups:
				s.scraper.Reload()
			case <-ctx.Done():
				return
			}
		}
	})
	s.running.Go(func() { s.scraper.Run(ctx) })
}

// end ends all requests and waits for what was fetched to be stored.
func (s *scraping) end() {
	if s.stop != nil {
		s.stop()
		s.running.Wait()
	}
	if s.hangups != nil {
		signal.Stop(s.hangups)
	}
}
