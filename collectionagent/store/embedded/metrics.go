// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/collectionagent/memory"
)

// metrics are the engine's own.
type metrics struct {
	walRecords, walBytes, walSyncs prometheus.Counter
	walErrors                      prometheus.Counter
	walTorn, walCorrupt, walLost   prometheus.Counter
	groupSize                      prometheus.Histogram
	duplicates                     *prometheus.CounterVec
	forgotten                      prometheus.Counter
	rejected                       *prometheus.CounterVec
	flushes                        *prometheus.CounterVec
	flushSeconds                   prometheus.Histogram
	flushedRows                    prometheus.Counter
	orphans, blockErrors           prometheus.Counter
	leftovers                      prometheus.Counter
	blockPanics                    prometheus.Counter
	expiredBlocks                  prometheus.Counter
	deletedRows                    prometheus.Counter
	retainedRows, retainedBytes    *prometheus.CounterVec
	retainErrors                   prometheus.Counter
	garbage                        *prometheus.CounterVec
	compactions                    *prometheus.CounterVec
	compactionErrors               *prometheus.CounterVec
	compactionSeconds              prometheus.Histogram
	compactionBytes                *prometheus.CounterVec
	compactedRows                  prometheus.Counter
	selectSeconds                  prometheus.Histogram
	filesRead, rowsRead            *prometheus.CounterVec
}

// read counts that a query reads a file.
func (m *metrics) read(part *block) { m.filesRead.WithLabelValues(partName(part.kind)).Inc() }

// partName is what metrics call a part of a block.
func partName(kind sumsKind) string {
	if kind == "" {
		return "samples"
	}
	return string(kind)
}

const metricsPrefix = "strobe_collectionagent_store_"

// newMetrics registers the metrics; the gauges read the store when scraped.
func newMetrics(reg prometheus.Registerer, s *Store) (*metrics, error) {
	var all []prometheus.Collector
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: metricsPrefix + name, Help: help})
		all = append(all, c)
		return c
	}
	counters := func(name, help, label string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: metricsPrefix + name, Help: help}, []string{label})
		all = append(all, c)
		return c
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: metricsPrefix + name, Help: help, Buckets: buckets})
		all = append(all, h)
		return h
	}
	gauge := func(name, help string, f func() float64) {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: metricsPrefix + name, Help: help}, f))
	}
	seconds := prometheus.ExponentialBuckets(0.001, 4, 8)
	m := &metrics{
		walRecords:        counter("wal_records_total", "Batches written to the log."),
		walBytes:          counter("wal_bytes_total", "Bytes written to the log."),
		walSyncs:          counter("wal_syncs_total", "Commits of groups of batches: one fsync each."),
		walErrors:         counter("wal_errors_total", "Writes to the log that failed; the batches were not acknowledged."),
		walTorn:           counter("wal_torn_total", "Incomplete ends of the log that were cut off at the start."),
		walCorrupt:        counter("wal_corrupt_total", "Damaged parts of the log that were moved to the quarantine at the start."),
		walLost:           counter("wal_lost_samples_total", "Samples in intact records of the log whose series or stack was in damaged parts only."),
		groupSize:         histogram("wal_group_batches", "Batches per commit.", prometheus.ExponentialBuckets(1, 2, 9)),
		duplicates:        counters("duplicates_total", "Batches that had been stored before.", "kind"),
		forgotten:         counter("window_forgotten_total", "Sequences that were given up to keep batch windows small."),
		rejected:          counters("rejected_total", "Writes that were refused.", "reason"),
		flushes:           counters("flushes_total", "Heads written as blocks.", "result"),
		flushSeconds:      histogram("flush_seconds", "Time to write a head as a block.", seconds),
		flushedRows:       counter("flushed_rows_total", "Samples written to blocks."),
		orphans:           counter("orphan_files_total", "Files without an entry in the list of blocks, removed at the start."),
		leftovers:         counter("leftover_files_total", "Files of old blocks that could not be removed; the next start removes them."),
		blockErrors:       counter("block_errors_total", "Blocks that could not be opened for a query."),
		blockPanics:       counter("block_panics_total", "Panics of the decoder on damaged blocks; the query failed, nothing else."),
		expiredBlocks:     counter("expired_blocks_total", "Blocks that were removed by age."),
		deletedRows:       counter("deleted_rows_total", "Samples that were deleted on request, and sums whose samples were gone."),
		retainedRows:      counters("retention_samples_total", "Samples that were removed because of their age or for want of room.", "reason"),
		retainedBytes:     counters("retention_bytes_total", "Bytes of files that were removed because of their age or for want of room.", "reason"),
		garbage:           counters("garbage_removed_total", "Definitions that nothing referred to any more, and old points of metrics, that were removed.", "kind"),
		retainErrors:      counter("retention_errors_total", "Rounds of retention that failed; the next one tries again."),
		compactions:       counters("compactions_total", "Merges of blocks.", "level"),
		compactionErrors:  counters("compaction_errors_total", "Merges of blocks that failed or could not start.", "reason"),
		compactionSeconds: histogram("compaction_seconds", "Time of a merge of blocks.", seconds),
		compactionBytes:   counters("compaction_bytes_total", "Bytes of files that merges of blocks read and wrote.", "direction"),
		compactedRows:     counter("compacted_rows_total", "Samples that merges of blocks read."),
		filesRead:         counters("files_read_total", "Files of blocks that queries read.", "kind"),
		rowsRead:          counters("rows_read_total", "Rows of files of blocks that queries read.", "kind"),
		selectSeconds:     histogram("select_seconds", "Time of a query in the store.", seconds),
	}
	gauge("head_rows", "Samples that are not in a block yet.", func() float64 {
		rows := 0
		heads, _, _ := s.readView()
		for _, h := range heads {
			rows += h.snapshot().rows
		}
		return float64(rows)
	})
	gauge("head_bytes", "Memory of the samples that are not in a block yet.", func() float64 { return float64(s.headBytes()) })
	gauge("blocks", "Blocks of samples.", func() float64 {
		_, blocks, _ := s.readView()
		return float64(len(blocks))
	})
	gauge("blocks_set_aside", "Blocks that could not be read when they were to be merged.", func() float64 {
		_, blocks, _ := s.readView()
		n := 0
		for _, b := range blocks {
			if b.aside.Load() {
				n++
			}
		}
		return float64(n)
	})
	gauge("blocks_bytes", "Size of the blocks of samples.", func() float64 {
		_, blocks, _ := s.readView()
		var n int64
		for _, b := range blocks {
			n += b.info.bytes()
		}
		return float64(n)
	})
	gauge("retention_limit_bytes", "Most bytes that the store keeps, 0 without a bound.", func() float64 {
		return float64(s.byteLimit.Load())
	})
	gauge("replay_ratio", "How much of the log of the last process has been replayed, 1 when it is done.", func() float64 {
		total, read := s.startup.total.Load(), s.startup.read.Load()
		if s.startup.ended() || total == 0 {
			return 1
		}
		return float64(read) / float64(total)
	})
	gauge("read_only", "1 while writes are refused.", func() float64 {
		if s.guard.reason() != "" {
			return 1
		}
		return 0
	})
	all = append(all,
		memory.Used(memory.Head, s.headBytes),
		memory.Used(memory.Blocks, s.openBytes.Load),
		memory.Used(memory.Metadata, s.metaBytes),
		memory.Used(memory.Labels, s.labelCache.used),
	)
	for _, c := range all {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
