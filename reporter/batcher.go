// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"fmt"

	"github.com/strobe-profiler/strobe/libpf"
)

// Reasons for [Batch.Drop].
const (
	// DropRejected: whoever takes the batches refused this one for good.
	DropRejected = reasonRejected
	// DropUndelivered: it was repeated for as long as is reasonable.
	DropUndelivered = "undelivered"
	// DropShutdown: the time for the end was up.
	DropShutdown = reasonShutdown
)

// Batcher gathers samples in bounded memory and writes them as OTLP profiles, as
// [OTLPReporter] does, for an owner that delivers them by itself: a receiver in an
// OpenTelemetry Collector hands them to the next component.
//
// The Report methods are safe for concurrent use and do not wait. [Batcher.Take] is
// for one goroutine. It has no goroutine of its own.
type Batcher struct {
	settings settings
	samples  *sampleQueue
	catalogue
	encoder  profileEncoder // of whoever calls Take, like sequence
	sequence uint64
	wake     chan struct{}
	host     hostResource
}

// NewBatcher makes a Batcher. Of the options it heeds HostID, HostName, RunID,
// AgentVersion, ResourceAttributes, DefinitionCacheEntries and MaxQueueBytes; nil is the defaults.
func NewBatcher(o *Options) (*Batcher, error) {
	s, err := newSettings(&Config{CollAgentAddr: "the owner"}, o)
	if err != nil {
		return nil, fmt.Errorf("settings of samples: %w", err)
	}
	b := &Batcher{settings: s, wake: make(chan struct{}, 1)}
	b.host.describe(&b.settings, nil)
	if b.catalogue, err = newCatalogue(&b.settings, b.signal); err != nil {
		return nil, err
	}
	b.samples = newSampleQueue(int(s.CountsForTracesMaxQueue), s.MaxQueueBytes/2, b.signal)
	b.samples.describe = s.Describe
	return b, nil
}

func (b *Batcher) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// HalfFull is sent to when what was gathered should be taken before its time.
func (b *Batcher) HalfFull() <-chan struct{} { return b.wake }

// ReportSample takes a copy of a sample; what it points to must not change any more.
// When there is no room, samples of the same key are summed, and then the oldest
// are dropped and counted.
func (b *Batcher) ReportSample(sample *libpf.Sample) {
	if sample != nil {
		b.samples.add(sample)
	}
}

// ReportExecutable remembers an executable, which must not change any more.
func (b *Batcher) ReportExecutable(e *libpf.Executable) {
	if e != nil {
		b.executables.keep(e.FileID, e, contentOfExecutable, nil)
	}
}

// ReportHostMetadata describes the host in the resource of every profile from now on.
func (b *Batcher) ReportHostMetadata(metadata map[string]string) {
	b.host.describe(&b.settings, metadata)
}

// Close refuses further samples. What was gathered can still be taken.
func (b *Batcher) Close() { b.samples.close() }

// Ledger says what became of the samples, by weight. Stored are those of batches
// that were delivered; none is spooled.
func (b *Batcher) Ledger() Ledger { return b.samples.ledger() }

// Batch is samples that left a [Batcher]. They count as queued until its owner calls
// Delivered or Drop, once.
type Batch struct {
	// Payload is an ExportProfilesServiceRequest of OTLP, which has the layout of ProfilesData.
	Payload []byte

	queue  *sampleQueue
	weight uint64
}

// Delivered takes note that the batch has arrived.
func (b *Batch) Delivered() { b.queue.settle(b.weight, "") }

// Drop takes note that the batch will not arrive, and why.
func (b *Batch) Drop(reason string) { b.queue.settle(b.weight, reason) }

// Take writes what was gathered, oldest first, as batches of at most limit bytes. It
// may leave a part for the next time and returns nothing when nothing is left.
// A sample that does not fit into a batch is dropped.
func (b *Batcher) Take(limit int) []*Batch {
	for {
		rows := leaseRows(b.samples)
		if len(rows) == 0 {
			return nil
		}
		batches := b.seal(nil, sortRows(rows), limit)
		b.samples.release(rows)
		if len(batches) > 0 {
			return batches
		}
	}
}

// seal appends rows as one batch or, where that is too large, as more.
func (b *Batcher) seal(batches []*Batch, rows []libpf.Sample, limit int) []*Batch {
	sealed := &Batch{queue: b.samples}
	for i := range rows {
		sealed.weight += uint64(rows[i].Count)
	}
	b.sequence++
	payload, _ := b.encoder.encode(&export{
		rows: rows, catalogue: &b.catalogue, host: b.host.known(), version: b.settings.AgentVersion,
		runID: b.settings.RunID, sequence: b.sequence,
	})
	switch {
	case len(payload) <= limit:
		sealed.Payload = payload
		return append(batches, sealed)
	case len(rows) > 1:
		n := len(rows) / 2
		return b.seal(b.seal(batches, rows[:n:n], limit), rows[n:], limit)
	}
	sealed.Drop(reasonTooLarge)
	return batches
}
