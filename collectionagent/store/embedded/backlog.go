// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// backlog is what merging has not come to yet: the rows of flushed heads that are due, which
// are urgent, and of blocks that are to be merged again, which are not. It decides what
// merging may take from others:
//
//   - with nothing behind the merge that is going on, it rests as long as it works,
//     so that questions hardly notice it;
//   - from compactionConfig.hurried rows on it does not rest, nor from behind rows of
//     blocks on that wait to be merged again. One goroutine of work is what samples that
//     come in as fast as one writer takes them need;
//   - from strained rows on, [Store.Strained] has fewer questions worked on at once: each
//     of them reads these rows one by one, so that they would become dearer and dearer and
//     leave less and less for merging;
//   - from full rows on, samples are refused with a time to wait: the last resort. Not
//     while merges fail, as on a disk that is nearly full, which refusing would not mend.
//
// The nice value of a thread is of no use for any of this. The Go runtime hands its
// processors to goroutines whatever the threads' priorities are: a thread with a low one
// has a processor while it does not run, and everything waits for it when the
// garbage collector stops all. And it takes privileges to raise it again.
type backlog struct {
	rows    atomic.Int64        // of due heads, without those that are being merged
	again   atomic.Int64        // of other blocks that are due
	current atomic.Pointer[job] // what is being merged, nil: nothing
	failing atomic.Bool         // the last merge could not be done
}

// noteBacklog adds up what waits.
func (s *Store) noteBacklog() {
	var current []*block
	if j := s.backlog.current.Load(); j != nil {
		current = j.in
	}
	_, blocks, _ := s.readView()
	blocks = slices.DeleteFunc(blocks, func(b *block) bool { return slices.Contains(current, b) })
	rows, again := int64(0), int64(0)
	for _, j := range s.cfg.compaction.due(blocks, s.now(), false) {
		if j.in[0].info.Level == 0 {
			rows += partRows(j.in)
		} else {
			again += partRows(j.in)
		}
	}
	s.backlog.rows.Store(rows)
	s.backlog.again.Store(again)
}

// hurried reports whether a merge is not to rest.
func (s *Store) hurried() bool {
	c := &s.cfg.compaction
	return s.backlog.rows.Load() >= c.hurried || s.backlog.again.Load() >= c.behind
}

// Strained reports whether merges are so far behind that questions are dear because of
// it. Fewer at once then leave more for merging.
func (s *Store) Strained() bool {
	return s.backlog.rows.Load() >= s.cfg.compaction.strained && !s.backlog.failing.Load()
}

var _ store.Healthy = (*Store)(nil)

// Health implements [store.Healthy].
func (s *Store) Health() store.Health {
	h := store.Health{ReadOnly: s.ReadOnly(), FreeBytes: -1, BacklogRows: s.backlog.rows.Load() + s.backlog.again.Load(), Strained: s.Strained()}
	if free, err := s.cfg.freeBytes(s.cfg.Dir); err == nil && free < 1<<63 {
		h.FreeBytes = int64(free) //nolint:gosec // checked
	}
	return h
}

// errBacklog is returned when samples would only make queries dearer.
var errBacklog = fmt.Errorf("%w: samples come faster than they can be merged", store.ErrBusy)

// checkBacklog returns an error when samples have to wait for merges.
func (s *Store) checkBacklog() error {
	if s.backlog.rows.Load() >= s.cfg.compaction.full && !s.backlog.failing.Load() {
		return errBacklog
	}
	return nil
}

// pacer has a merge rest as long as it works, unless there is reason to hurry. It
// is for one goroutine. A nil pacer never rests.
type pacer struct {
	hurried func() bool
	now     func() time.Time
	rest    func(ctx context.Context, d time.Duration)
	began   time.Time // the work since the last rest
}

// Bounds of work without a rest, and of a rest. The work is measured by the clock, so that
// the pacer also rests for what others took of the processors meanwhile.
const (
	leastWork = 2 * time.Millisecond
	mostRest  = 50 * time.Millisecond
)

// pacer returns the pacer of a merge.
func (s *Store) pacer() *pacer {
	return &pacer{
		hurried: s.hurried, now: time.Now, began: time.Now(),
		rest: func(ctx context.Context, d time.Duration) {
			timer := time.NewTimer(d)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		},
	}
}

// step comes between steps of the work.
func (p *pacer) step(ctx context.Context) {
	if p == nil {
		return
	}
	now := p.now()
	worked := now.Sub(p.began)
	if worked < leastWork {
		return
	}
	p.began = now
	if p.hurried() {
		return // and be one goroutine among all others
	}
	p.rest(ctx, min(worked, mostRest))
	p.began = p.now()
}

// backlogMetrics are the blocks that are due to be merged, by level.
type backlogMetrics struct{ store *Store }

var (
	backlogBlocks = prometheus.NewDesc(metricsPrefix+"backlog_blocks", "Blocks that wait to be merged.", []string{"level"}, nil)
	backlogBytes  = prometheus.NewDesc(metricsPrefix+"backlog_bytes", "Size of the blocks that wait to be merged.", []string{"level"}, nil)
)

// Describe implements [prometheus.Collector].
func (backlogMetrics) Describe(c chan<- *prometheus.Desc) {
	c <- backlogBlocks
	c <- backlogBytes
}

// Collect implements [prometheus.Collector].
func (m backlogMetrics) Collect(c chan<- prometheus.Metric) {
	var blocks, bytes [3]int64 // by level
	_, listed, _ := m.store.readView()
	for _, j := range m.store.cfg.compaction.due(listed, m.store.now(), false) {
		for _, b := range j.in {
			level := min(max(b.info.Level, 0), len(blocks)-1)
			blocks[level]++
			bytes[level] += b.info.bytes()
		}
	}
	for level := range blocks {
		c <- prometheus.MustNewConstMetric(backlogBlocks, prometheus.GaugeValue, float64(blocks[level]), strconv.Itoa(level))
		c <- prometheus.MustNewConstMetric(backlogBytes, prometheus.GaugeValue, float64(bytes[level]), strconv.Itoa(level))
	}
}
