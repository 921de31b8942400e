// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/auth"
	"github.com/strobe-profiler/strobe/collectionagent/bench/workload"
	"github.com/strobe-profiler/strobe/collectionagent/store/embedded"
)

// look is what the server looked like at a time.
type look struct {
	at                            time.Duration
	resident, disk                int64
	headBytes, blocks, blockBytes float64
	expired                       float64 // samples, by age and for want of room
	metrics                       metrics
}

// Names of metrics of the server.
const (
	metricPrefix  = "strobe_collectionagent_"
	metricExpired = "store_retention_samples_total"
)

// faults are counters that a good run leaves at 0.
var faults = []string{
	"store_wal_errors_total", "store_wal_corrupt_total", "store_block_errors_total", "store_block_panics_total", "store_blocks_set_aside",
	"store_compaction_errors_total", "store_retention_errors_total", "store_leftover_files_total", "store_orphan_files_total",
	"store_read_only", "store_window_forgotten_total",
}

// look asks the server.
func (s *soak) look(ctx context.Context, server *server, at time.Duration) (look, error) {
	m, err := scrape(ctx, server)
	if err != nil {
		return look{}, err
	}
	l := look{
		at: at, resident: resident(server.pid(), "VmRSS:"), headBytes: m.sum("store_head_bytes"), blocks: m.sum("store_blocks"),
		blockBytes: m.sum("store_blocks_bytes"), expired: m.sum(metricExpired), metrics: m,
	}
	l.disk, err = size(s.dir)
	return l, err
}

// metrics are the metrics of the server by name, with labels.
type metrics map[string]float64

func scrape(ctx context.Context, server *server) (metrics, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.http+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer a.Body.Close() //nolint:errcheck // read only
	text, err := io.ReadAll(a.Body)
	if err == nil && a.StatusCode != http.StatusOK {
		err = errors.New(a.Status)
	}
	return parseMetrics(string(text)), err
}

// parseMetrics reads the text format, as far as our own metrics use it.
func parseMetrics(text string) metrics {
	m := make(metrics)
	for line := range strings.Lines(text) {
		line, ok := strings.CutPrefix(strings.TrimSpace(line), metricPrefix)
		space := strings.LastIndexByte(line, ' ')
		if !ok || space < 0 {
			continue
		}
		if v, err := strconv.ParseFloat(line[space+1:], 64); err == nil {
			m[line[:space]] = v
		}
	}
	return m
}

// sum adds up a metric over its labels, of which one may be given as name="value".
func (m metrics) sum(name string, label ...string) (v float64) {
	for key, value := range m {
		own, labels, _ := strings.Cut(key, "{")
		if own == name && (len(label) == 0 || strings.Contains(labels, label[0])) {
			v += value
		}
	}
	return v
}

// growth returns how resident memory grows, in MiB per minute: the median of the
// slopes between all pairs of looks, which single peaks do not move.
func growth(looks []look) float64 {
	var slopes []float64
	for i, a := range looks {
		for _, b := range looks[i+1:] {
			if b.at > a.at {
				slopes = append(slopes, float64(b.resident-a.resident)/(1<<20)/(b.at-a.at).Minutes())
			}
		}
	}
	if len(slopes) == 0 {
		return 0
	}
	slices.Sort(slopes)
	return slopes[len(slopes)/2]
}

// verdict collects what was found.
type verdict struct {
	soak *soak
	bad  []string
}

// line prints a finding.
func (v *verdict) line(ok bool, name, format string, a ...any) {
	mark := "ok"
	if !ok {
		mark = "FAILED"
		v.bad = append(v.bad, name)
	}
	v.soak.say("| %s | %s | %s |", name, fmt.Sprintf(format, a...), mark)
}

// judge stops the server, counts what is in its store, and says how the run was.
func (s *soak) judge(ctx context.Context, server *server, data string, rate float64, looks []look) error {
	if len(looks) == 0 {
		return errors.New("the run was too short to look at the server")
	}
	peak := server.peak()
	last, err := scrape(ctx, server) // as late as possible: what expires after it is missed
	if err != nil {
		return err
	}
	if err := server.stop(); err != nil {
		return fmt.Errorf("stop the server: %w", err)
	}
	s.say("\n| question | answers | wall ms p50 | p95 | most |\n| --- | --- | --- | --- | --- |")
	for _, name := range slices.Sorted(maps.Keys(s.asked.byName)) {
		times := s.asked.byName[name]
		s.say("| %s | %d | %s | %s | %s |", name, len(times), ms(quantile(times, 0.5)), ms(quantile(times, 0.95)), ms(quantile(times, 1)))
	}
	v := &verdict{soak: s}
	s.say("\n| check | found | |\n| --- | --- | --- |")
	got := float64(s.sent.n-s.sent.marked) / s.duration.Seconds()
	v.line(got >= leastShare*rate, "rate", "%.0f samples a second of %.0f, at most %s late, ms of requests p50 %s p95 %s", got, rate,
		s.sent.behind.Round(time.Millisecond), ms(quantile(s.sent.times, 0.5)), ms(quantile(s.sent.times, 0.95)))
	v.line(s.sent.failed == 0, "sending", "%d samples acknowledged, %d requests refused politely and repeated, %d failed", s.sent.n, s.sent.refused, s.sent.failed)
	v.line(s.asked.failed == 0, "questions", "%d answered, %d refused politely and repeated, %d failed", s.asked.n, s.asked.refused, s.asked.failed)
	s.checkWork(v, last)
	s.checkBacklog(v, looks, last)
	if err := s.checkStore(ctx, v, data, last); err != nil {
		return err
	}
	s.checkMemory(v, looks, peak)
	if err := errors.Join(s.sent.first(), s.asked.first()); err != nil {
		s.say("\nfirst errors:\n%v", err)
	}
	if len(v.bad) > 0 {
		return fmt.Errorf("soak: %s", strings.Join(v.bad, ", "))
	}
	s.say("\nall is well")
	return nil
}

// checkWork checks that what was to go on in the background did.
func (s *soak) checkWork(v *verdict, last metrics) {
	found := 0.0
	for _, name := range faults {
		if n := last.sum(name); n != 0 {
			v.line(false, name, "%g", n)
			found += n
		}
	}
	if found == 0 {
		v.line(true, "counters of faults", "all 0")
	}
	flushed := last.sum("store_flushes_total")
	hours, days := last.sum("store_compactions_total", `level="1"`), last.sum("store_compactions_total", `level="2"`)
	v.line(s.duration < judgeGrowth || (flushed > 0 && hours > 0), "merges", "%g heads written, %g merges of 2 h, %g of days, %.1f M rows read", flushed, hours, days,
		last.sum("store_compacted_rows_total")/1e6)
	age, bytes := last.sum(metricExpired, `reason="age"`), last.sum(metricExpired, `reason="bytes"`)
	v.line(s.duration < judgeGrowth || age > 0, "retention", "%g samples by age, %g by bytes", age, bytes)
}

// checkBacklog checks that merging kept up, and says whether somebody had to wait for it.
func (s *soak) checkBacklog(v *verdict, looks []look, last metrics) {
	most, mostBytes := 0.0, 0.0
	for _, l := range looks {
		most = max(most, l.metrics.sum("store_backlog_blocks", `level="0"`))
		mostBytes = max(mostBytes, l.metrics.sum("store_backlog_bytes"))
	}
	heads := last.sum("store_backlog_blocks", `level="0"`)
	v.line(heads <= mostWaiting, "backlog", "%g written heads and %g merged blocks wait to be merged at the end, at most %g heads and %.0f MB; %g batches refused until they are",
		heads, last.sum("store_backlog_blocks")-heads, most, mostBytes/1e6, last.sum("store_rejected_total", `reason="backlog"`))
}

// checkStore counts what is stored: what was acknowledged is there or has expired.
func (s *soak) checkStore(ctx context.Context, v *verdict, data string, last metrics) (err error) {
	out, verifyErr := exec.CommandContext(ctx, s.binary, "verify", "-data-dir", data).CombinedOutput() //nolint:gosec // ours
	v.line(verifyErr == nil, "verify", "%s", strings.Join(strings.Fields(string(out)), " "))
	store, err := embedded.Open(embedded.Config{Dir: data})
	if err != nil {
		return fmt.Errorf("open what the server left: %w", err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	stats, err := store.Stats(ctx)
	if err != nil {
		return err
	}
	expired := int64(last.sum(metricExpired))
	v.line(stats.Samples+expired == s.sent.n, "samples", "%d acknowledged = %d stored + %d expired + %d", s.sent.n, stats.Samples, expired, s.sent.n-stats.Samples-expired)
	ledgers, err := store.RunLedgers(ctx, auth.DefaultProject)
	if err != nil {
		return err
	}
	var acknowledged, stored uint64
	wrong := 0
	byHost := make(map[[16]byte]uint64)
	for _, l := range ledgers {
		byHost[l.RunID] += l.Stored
	}
	for host, n := range s.sent.weight {
		have := byHost[[16]byte(workload.RunID(host))]
		acknowledged, stored = acknowledged+n, stored+have
		if have != n {
			wrong++
		}
	}
	v.line(wrong == 0, "ledger", "%d observations acknowledged, %d in the ledgers of %d runs, %d wrong", acknowledged, stored, len(s.sent.weight), wrong)
	return nil
}

// checkMemory checks that memory is bounded and flat.
func (s *soak) checkMemory(v *verdict, looks []look, peak int64) {
	bound := int64(memoryMargin * float64(s.memory<<20))
	v.line(peak <= bound, "memory, peak", "%d MiB resident, -memory %d MiB", peak>>20, s.memory)
	slope := growth(looks[len(looks)/3:])
	if s.duration < judgeGrowth {
		v.line(true, "memory, growth", "%+.2f MiB a minute; the run is too short to judge it", slope)
		return
	}
	v.line(slope <= maxGrowth, "memory, growth", "%+.2f MiB a minute in the last two thirds", slope)
}
