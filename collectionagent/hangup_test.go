// SPDX-License-Identifier: Apache-2.0

package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/collectionagent/ingest"
	"github.com/strobe-profiler/strobe/collectionagent/store/memstore"
)

// TestHangupBeforeStart sends a SIGHUP while the store is not ready, which ends a process that
// does not wait for it.
func TestHangupBeforeStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "scrape.yaml")
	if err := os.WriteFile(file, []byte("scrape_configs: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := ingest.New(ingest.Config{Store: memstore.New()})
	if err != nil {
		t.Fatal(err)
	}
	s, err := newScraping(&Config{ScrapeConfig: file}, in, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	defer s.end()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	<-s.hangups
}
