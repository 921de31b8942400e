// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"maps"
	"math"
	"strings"
	"sync"
	"unsafe"

	"github.com/strobe-profiler/strobe/libpf"
)

// Reasons why a sample was not stored.
const (
	reasonOverflow = "overflow" // the queue was full and nothing could be summed
	reasonRejected = "rejected" // the server refused the batch as invalid
	reasonTooLarge = "too_large"
	reasonServer   = "server_error" // the server failed on this batch again and again
	reasonInvalid  = "invalid"      // the caller's sample has no trace or process
	reasonShutdown = "shutdown"     // Stop ran out of time
	reasonClosed   = "closed"       // reported after Stop
	reasonEncoding = "encoding"     // could not be written as a message
	reasonPartial  = "partial_success"
	// An OTLP backend is out of something and does not say that it will recover.
	reasonExhausted = "resource_exhausted"
	// An OTLP backend took the request, and its answer cannot be read.
	reasonAnswer   = "unreadable_answer"
	reasonTooOld   = "too_old"   // older than the server accepts
	reasonInFuture = "in_future" // later than the server accepts
	reasonEvicted  = "spool_evicted"
	reasonCorrupt  = "spool_corrupt"
)

// Ledger says what became of the samples, by weight. At all times
// Captured = Stored + Queued + Spooled + the sum of Dropped.
type Ledger struct {
	// Captured is what was reported in this run, and Recovered.
	Captured uint64
	// Recovered is the part of Captured that earlier runs had left in the spool.
	Recovered uint64
	// Stored is what the server has acknowledged.
	Stored uint64
	// Queued waits in the queue or in batches that are not acknowledged yet.
	Queued uint64
	// Spooled waits on disk.
	Spooled uint64
	// Dropped is by reason.
	Dropped map[string]uint64
}

// seenSlots is how many traces and processes the accounting of bytes remembers. It
// forgets on a collision and then counts one again: too much, never too little, and
// ten times faster than a map on the path of every sample.
const seenSlots = 2048

// sampleQueue is the bounded queue of counts. It counts bytes of what only the
// queue may keep alive: rows, and each trace and process about once.
//
// A sample is captured when it is added; the weight that was leased counts as
// queued until settle says what became of it.
type sampleQueue struct {
	mu        sync.Mutex
	rows      []libpf.Sample // oldest first
	spare     []libpf.Sample // an emptied buffer of the lease before
	traces    *[seenSlots]*libpf.Trace
	processes *[seenSlots]*libpf.Process
	bytes     int
	weight    uint64 // of rows
	maxItems  int
	maxBytes  int

	// leased and spooled are where captured weight is that is neither here nor settled.
	captured, recovered, stored, leased, spooled uint64

	dropped     map[string]uint64
	overwritten overwriteCount
	summed      uint64 // rows that went into another one
	signalled   bool
	closed      bool
	wake        func() // called when half full, once between leases
	// describe, if not nil, says who the process of a sample is by now.
	describe func(*libpf.Process) *libpf.Process
}

func newSampleQueue(maxItems, maxBytes int, wake func()) *sampleQueue {
	return &sampleQueue{
		maxItems: maxItems, maxBytes: maxBytes, wake: wake,
		traces:    new([seenSlots]*libpf.Trace),
		processes: new([seenSlots]*libpf.Process),
		dropped:   map[string]uint64{},
	}
}

const (
	rowBytes     = int(unsafe.Sizeof(libpf.Sample{}))
	frameBytes   = int(unsafe.Sizeof(libpf.Frame{}))
	lineBytes    = int(unsafe.Sizeof(libpf.SourceLine{}))
	labelBytes   = int(unsafe.Sizeof(libpf.Label{}))
	mapSlotBytes = 16 // what a pointer costs in a map
)

func sizeOfLabels(labels []libpf.Label) int {
	n := len(labels) * labelBytes
	for i := range labels {
		n += len(labels[i].Key) + len(labels[i].Value)
	}
	return n
}

// sizeOfTrace is an estimate that does not walk the frames, which would cost more
// than all the rest of a report: a line and a few characters of its own each.
func sizeOfTrace(t *libpf.Trace) int {
	return mapSlotBytes + int(unsafe.Sizeof(*t)) + len(t.Frames)*(frameBytes+lineBytes+mapSlotBytes)
}

func sizeOfProcess(p *libpf.Process) int {
	return mapSlotBytes + int(unsafe.Sizeof(*p)) + len(p.Name) + len(p.Executable) + len(p.CommandLine) +
		len(p.ContainerID) + len(p.ContainerName) + len(p.PodName) + len(p.Namespace) + len(p.Service) +
		sizeOfLabels(p.Labels)
}

// add takes a copy of s, which must not be nil; what s points to must not change any more.
func (q *sampleQueue) add(s *libpf.Sample) {
	weight := uint64(max(s.Count, 1))
	q.mu.Lock()
	q.captured += weight
	if q.closed || s.Trace == nil || s.Process == nil {
		reason := reasonInvalid
		if q.closed {
			reason = reasonClosed
		}
		q.dropped[reason] += weight
		q.mu.Unlock()
		return
	}
	if len(q.rows) >= q.maxItems || q.bytes >= q.maxBytes {
		q.makeRoom()
	}
	q.push(s)
	wake := !q.signalled && (len(q.rows) >= (q.maxItems+1)/2 || q.bytes >= q.maxBytes/2)
	q.signalled = q.signalled || wake
	q.mu.Unlock()
	if wake {
		q.wake()
	}
}

func (q *sampleQueue) push(s *libpf.Sample) {
	q.rows = append(q.rows, *s)
	row := &q.rows[len(q.rows)-1]
	row.Count = max(row.Count, 1)
	q.weight += uint64(row.Count)
	q.bytes += q.account(row)
}

// account returns what a row adds to the bytes held.
func (q *sampleQueue) account(row *libpf.Sample) int {
	n := rowBytes
	if len(row.Labels) > 0 {
		n += sizeOfLabels(row.Labels)
	}
	if slot := &q.traces[row.Trace.Hash.Lo()%seenSlots]; *slot != row.Trace {
		*slot = row.Trace
		n += sizeOfTrace(row.Trace)
	}
	if slot := &q.processes[uint32(row.Process.PID)%seenSlots]; *slot != row.Process {
		*slot = row.Process
		n += sizeOfProcess(row.Process)
	}
	return n
}

// recount computes weight and bytes anew after rows were taken out.
func (q *sampleQueue) recount() {
	clear(q.traces[:])
	clear(q.processes[:])
	q.bytes, q.weight = 0, 0
	for i := range q.rows {
		q.bytes += q.account(&q.rows[i])
		q.weight += uint64(q.rows[i].Count)
	}
}

// coalesceSteps are the widths of time, in ns, within which equal rows are
// summed when the queue is full. The first loses nothing that a chart shows; the
// others are for outages.
var coalesceSteps = [...]int64{1e9, 1e10, 6e10, 6e11}

// makeRoom sums rows of the same key and, if that frees less than an eighth of
// the queue, drops the oldest until an eighth is free.
func (q *sampleQueue) makeRoom() {
	roomy := func() bool {
		return len(q.rows) <= q.maxItems-(q.maxItems+7)/8 && q.bytes <= q.maxBytes-q.maxBytes/8
	}
	for i, step := range coalesceSteps {
		q.coalesce(step, i == 0)
		if roomy() {
			return
		}
	}
	for len(q.rows) > 0 && !roomy() {
		// Of what is there, not of what may be: few rows can fill the bytes.
		n := (len(q.rows) + 7) / 8
		var lost uint64
		for i := range q.rows[:n] {
			lost += uint64(q.rows[i].Count)
		}
		q.dropped[reasonOverflow] += lost
		q.overwritten.add(lost)
		q.rows = shift(q.rows, n)
		q.recount()
	}
}

// shift removes the first n rows and lets go of what they pointed to.
func shift(rows []libpf.Sample, n int) []libpf.Sample {
	left := copy(rows, rows[n:])
	clear(rows[left:])
	return rows[:left]
}

type sampleKey struct {
	stack   libpf.TraceHash
	process *libpf.Process
	tid     libpf.TID
	cpu     uint32
	comm    string
	labels  string
	bucket  int64
	traceID [16]byte
	spanID  [8]byte
	kind    libpf.SampleType
}

// coalesce sums the rows of the same key and the same step of time into the
// oldest of them. The CPU is part of the key only at the finest step.
func (q *sampleQueue) coalesce(step int64, withCPU bool) {
	first := make(map[sampleKey]int, len(q.rows))
	kept := q.rows[:0]
	for i := range q.rows {
		row := &q.rows[i]
		key := sampleKey{
			stack: row.Trace.Hash, process: row.Process, tid: row.TID, comm: row.Comm,
			labels: labelKey(row.Labels), bucket: int64(row.Time) / step,
			traceID: row.TraceID, spanID: row.SpanID, kind: row.Type,
		}
		if withCPU {
			key.cpu = row.CPU
		}
		if at, ok := first[key]; ok && mergeInto(&kept[at], row) {
			q.summed++
			continue
		}
		first[key] = len(kept)
		kept = append(kept, *row)
	}
	clear(q.rows[len(kept):])
	q.rows = kept
	q.recount()
}

// mergeInto adds row to dst unless a sum would overflow.
func mergeInto(dst, row *libpf.Sample) bool {
	if uint64(dst.Count)+uint64(row.Count) > math.MaxUint32 {
		return false
	}
	if sum := dst.Value + row.Value; (sum > dst.Value) != (row.Value > 0) && row.Value != 0 {
		return false
	}
	dst.Count += row.Count
	dst.Value += row.Value
	return true
}

func labelKey(labels []libpf.Label) string {
	if len(labels) == 0 {
		return ""
	}
	var b strings.Builder
	for i := range labels {
		b.WriteString(labels[i].Key)
		b.WriteByte(0)
		b.WriteString(labels[i].Value)
		b.WriteByte(0)
	}
	return b.String()
}

// lease takes at most n rows, oldest first. They belong to the caller, who
// returns the buffer with release, and must tell what became of their weight.
func (q *sampleQueue) lease(n int) []libpf.Sample {
	rows := q.take(n)
	if q.describe == nil || len(rows) == 0 {
		return rows
	}
	described := map[*libpf.Process]*libpf.Process{}
	for i := range rows {
		p := rows[i].Process
		known, ok := described[p]
		if !ok {
			known = q.describe(p)
			described[p] = known
		}
		rows[i].Process = known
	}
	return rows
}

// take is lease as the samples came.
func (q *sampleQueue) take(n int) []libpf.Sample {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.signalled = false
	if len(q.rows) == 0 {
		return nil
	}
	var taken []libpf.Sample
	if len(q.rows) <= n {
		taken, q.rows, q.spare = q.rows, q.spare[:0], nil
		q.leased += q.weight
		clear(q.traces[:])
		clear(q.processes[:])
		q.bytes, q.weight = 0, 0
		return taken
	}
	taken = append(taken, q.rows[:n]...)
	before := q.weight
	q.rows = shift(q.rows, n)
	q.recount()
	q.leased += before - q.weight
	return taken
}

// giveBack returns leased rows to the front of the queue.
func (q *sampleQueue) giveBack(rows []libpf.Sample) {
	q.mu.Lock()
	defer q.mu.Unlock()
	before := q.weight
	q.rows = append(append(make([]libpf.Sample, 0, len(rows)+len(q.rows)), rows...), q.rows...)
	q.recount()
	q.leased -= q.weight - before
}

// release lets the queue use the buffer of a lease again.
func (q *sampleQueue) release(rows []libpf.Sample) {
	clear(rows)
	q.mu.Lock()
	defer q.mu.Unlock()
	// A buffer that an outage blew up is not worth keeping.
	if cap(rows) <= 1<<14 {
		q.spare = rows[:0]
	}
}

// settle records that leased weight was stored (reason "") or dropped.
func (q *sampleQueue) settle(weight uint64, reason string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.leased -= weight
	if reason == "" {
		q.stored += weight
	} else {
		q.dropped[reason] += weight
	}
}

// spool records that leased weight is on disk; unspool that it is in memory again.
func (q *sampleQueue) spool(weight uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.leased -= weight
	q.spooled += weight
}

func (q *sampleQueue) unspool(weight uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.spooled -= weight
	q.leased += weight
}

// recover takes over the weight that earlier runs left on disk.
func (q *sampleQueue) recover(weight uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.captured += weight
	q.recovered += weight
	q.spooled += weight
}

// lose records that weight on disk is gone.
func (q *sampleQueue) lose(weight uint64, reason string) {
	if weight == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.spooled -= weight
	q.dropped[reason] += weight
}

// close refuses further samples. What is queued stays.
func (q *sampleQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}

// abandon drops what is queued.
func (q *sampleQueue) abandon(reason string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.weight > 0 {
		q.dropped[reason] += q.weight
	}
	q.rows = nil
	q.recount()
}

func (q *sampleQueue) pressing() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.rows) >= (q.maxItems+1)/2 || q.bytes >= q.maxBytes/2
}

func (q *sampleQueue) ledger() Ledger {
	q.mu.Lock()
	defer q.mu.Unlock()
	return Ledger{
		Captured: q.captured, Recovered: q.recovered, Stored: q.stored, Queued: q.weight + q.leased, Spooled: q.spooled,
		Dropped: maps.Clone(q.dropped),
	}
}

func (q *sampleQueue) status() QueueStatus {
	q.mu.Lock()
	defer q.mu.Unlock()
	return QueueStatus{
		Name: "counts", Items: len(q.rows), MaxItems: q.maxItems, Bytes: q.bytes, MaxBytes: q.maxBytes,
		Overwritten: q.overwritten.total, Summed: q.summed,
	}
}

func (q *sampleQueue) takeOverwritten() uint32 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.overwritten.take()
}

// overwriteCount counts losses twice: for ever, and since the last take.
type overwriteCount struct {
	total, recent uint64
}

func (c *overwriteCount) add(n uint64) {
	c.total += n
	c.recent += n
}

func (c *overwriteCount) take() uint32 {
	n := min(c.recent, math.MaxUint32)
	c.recent -= n
	return uint32(n) //nolint:gosec // limited above
}
