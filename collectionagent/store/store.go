// SPDX-License-Identifier: Apache-2.0

// Package store defines what a store of profiles is. Engines live in packages
// below it; [github.com/strobe-profiler/strobe/collectionagent/store/storetest]
// proves an engine against an in-memory model.
//
// A store keeps two kinds of things. Samples are rows of (time, series, stack,
// count, value); they arrive in batches, are never changed, and are removed by
// age. Definitions say what the hashes in samples mean: stacks, names of
// frames, executables, hosts. They are upserted and outlive samples.
package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/strobe-profiler/strobe/libpf"
)

// ErrReadOnly is returned (wrapped) by writes while the store cannot take any,
// for example because the disk is full. The write may be repeated later.
var ErrReadOnly = errors.New("store does not accept writes")

// ErrBusy is returned (wrapped) by writes that would have to wait too long
// because the disk does not keep up. The write may be repeated soon.
var ErrBusy = errors.New("store is busy")

// ErrAway is returned (wrapped) by queries that need data which the store keeps
// elsewhere and cannot reach at the moment.
var ErrAway = errors.New("data cannot be reached")

// BatchType tells the sequences of the different kinds of batches apart.
type BatchType uint8

// Types of batches.
const (
	BatchSamples BatchType = iota + 1
	BatchStacks
	BatchFrameMetadata
	BatchFallbackSymbols
	BatchExecutables
	BatchHost
	BatchMetrics
)

// BatchID identifies a batch for ever: one that was stored is not stored again.
type BatchID struct {
	Project  string
	HostID   string
	RunID    [16]byte
	Type     BatchType
	Sequence uint64
}

// Series is where samples come from. The zero value of a field means that it
// is not known. It is comparable but for Labels, which are sorted by key.
type Series struct {
	Project                string
	Type                   libpf.SampleType
	Service                string
	HostID, Host           string
	Namespace, Pod         string
	ContainerID, Container string
	Process                string // name of the process
	Executable             string // path
	Comm                   string // name of the thread
	PID                    libpf.PID
	ProcessStart           uint64 // ns since boot of the host
	TID                    libpf.TID
	Labels                 []libpf.Label
}

// Sample is one row.
type Sample struct {
	Time libpf.UnixTimeNs // stored at millisecond resolution
	// Series is an index into the batch's Series.
	Series  uint32
	Stack   libpf.TraceHash
	Count   int64
	Value   int64 // unit of the series' Type
	TraceID [16]byte
	SpanID  [8]byte
}

// Batch is a set of samples that is stored whole or not at all.
type Batch struct {
	ID      BatchID
	Series  []Series
	Samples []Sample
}

// Weight returns the sum of the counts of the samples.
func (b *Batch) Weight() uint64 {
	var n uint64
	for i := range b.Samples {
		n += uint64(max(b.Samples[i].Count, 0)) //nolint:gosec // not negative
	}
	return n
}

// RunLedger says what a store holds of one run of an agent. What expired or
// was removed since counts too: it was stored.
type RunLedger struct {
	HostID string
	RunID  [16]byte
	// Stored is the sum of the weights of the batches of samples that were
	// stored, each once. Batches without identity belong to no run.
	Stored uint64
	// LastBatch is about when the last one came, by the clock of the store.
	LastBatch libpf.UnixTimeNs
}

// Stack is the definition of a stack, leaf first. Frames hold no Lines.
type Stack struct {
	Hash   libpf.TraceHash
	Frames []libpf.Frame
}

// Symbol names a frame. A Fallback never replaces one that is not.
type Symbol struct {
	Frame    libpf.FrameID
	Lines    []libpf.SourceLine // innermost inlined function first, at least one
	Fallback bool
}

// Host describes a host.
type Host struct {
	ID       string
	Name     string
	LastSeen libpf.UnixTimeNs
	Metadata map[string]string
}

// MetricPoint is a value of an agent's own metric.
type MetricPoint struct {
	HostID string
	Time   libpf.UnixTime32
	ID     uint32
	Value  int64
}

// Definitions is a set of definitions that is stored whole or not at all.
type Definitions struct {
	ID          BatchID // zero: not deduplicated
	Project     string
	Stacks      []Stack
	Symbols     []Symbol
	Executables []libpf.Executable
	Hosts       []Host
	Metrics     []MetricPoint
}

// MatchOp is how a matcher compares.
type MatchOp uint8

// Operators of matchers.
const (
	MatchEqual MatchOp = iota
	MatchNotEqual
	MatchRegexp    // anchored at both ends
	MatchNotRegexp // anchored at both ends
)

// Names of labels that every store knows. Any other name refers to
// Series.Labels. A label that a series does not have compares as "".
const (
	LabelService     = "service"
	LabelHost        = "host"
	LabelHostID      = "host_id"
	LabelNamespace   = "namespace"
	LabelPod         = "pod"
	LabelContainer   = "container"
	LabelContainerID = "container_id"
	LabelProcess     = "process"
	LabelExecutable  = "executable"
	LabelComm        = "comm"
	LabelPID         = "pid"
	LabelTID         = "tid"
)

// BuiltinLabels lists the names above in the order a person looks for them.
var BuiltinLabels = []string{
	LabelService, LabelHost, LabelProcess, LabelComm, LabelPID, LabelTID, LabelNamespace, LabelPod,
	LabelContainer, LabelContainerID, LabelExecutable, LabelHostID,
}

// otherNames are what OpenTelemetry calls labels that every store knows.
var otherNames = map[string]string{
	"service.name": LabelService, "host.name": LabelHost, "host.id": LabelHostID,
	"k8s.namespace.name": LabelNamespace, "k8s.pod.name": LabelPod,
	"k8s.container.name": LabelContainer, "container.name": LabelContainer, "container.id": LabelContainerID,
	"process.executable.name": LabelProcess, "process.executable.path": LabelExecutable, "process.pid": LabelPID,
	"thread.name": LabelComm, "thread.id": LabelTID,
}

// LabelNamed returns the name of a label as stores have it: a question may also use that
// of OpenTelemetry, by which the label came.
func LabelNamed(name string) string {
	if known, ok := otherNames[name]; ok {
		return known
	}
	return name
}

// Query selects samples.
type Query struct {
	Project string
	Type    libpf.SampleType
	// From is inclusive, To exclusive.
	From, To libpf.UnixTimeNs
	Matchers []*Matcher
	// TraceIDs and SpanIDs, where there are any, select only the samples that
	// carry one of each.
	TraceIDs [][16]byte
	SpanIDs  [][8]byte
	// GroupBy names the labels whose values make up the group of an answer.
	GroupBy []string
	// Step is the width of a time bucket aligned to the epoch; 0: no buckets.
	Step time.Duration
	// ByStack keeps stacks apart; without it Row.Stack is zero.
	ByStack bool
}

// RollUpLabels are the labels that sums per minute and per hour are kept apart
// by, beside project, type and stack.
var RollUpLabels = []string{LabelService, LabelHost, LabelHostID}

// Widths of roll-ups.
const (
	RollUpMinute = time.Minute //nolint:revive // not a unit, the width itself
	RollUpHour   = time.Hour   //nolint:revive // as well
)

// RollUp returns the width of the coarsest roll-up that can answer the query, 0
// when only samples can: a roll-up knows no other labels than [RollUpLabels], no
// traces, and no times within its width.
func (q *Query) RollUp() time.Duration {
	if len(q.TraceIDs) > 0 || len(q.SpanIDs) > 0 {
		return 0
	}
	for _, m := range q.Matchers {
		if !slices.Contains(RollUpLabels, m.Name) {
			return 0
		}
	}
	for _, name := range q.GroupBy {
		if !slices.Contains(RollUpLabels, name) {
			return 0
		}
	}
	switch {
	case q.Step%RollUpHour == 0: // 0 is no step
		return RollUpHour
	case q.Step%RollUpMinute == 0:
		return RollUpMinute
	}
	return 0
}

// Coverage says what an answer was made from. While a store has the samples of a
// range its answers are exact whatever they are made from: a roll-up stands in
// only for the buckets that lie in the range as a whole. Where samples have
// expired, a bucket at the edge of the range counts if its start lies in it.
type Coverage struct {
	// Resolution is the coarsest that was used: [Resolution] for samples, else
	// the width of a roll-up.
	Resolution time.Duration
	// From and To bound the times of what was found, zero when that is nothing.
	// They lie within the range, To is exclusive; an engine may be generous.
	From, To libpf.UnixTimeNs
	// Horizon is the time before which the store no longer has what the query
	// needs, 0 when it never removed any.
	Horizon libpf.UnixTimeNs
}

// Row is one sum of an answer.
type Row struct {
	// Group holds the values of Query.GroupBy, in that order.
	Group []string
	// Bucket is the start of the time bucket, 0 without Step.
	Bucket libpf.UnixTimeNs
	Stack  libpf.TraceHash
	Count  int64
	Value  int64
}

// Stats describes a store.
type Stats struct {
	Engine string
	// Samples is how many rows are stored.
	Samples int64
	// Bytes is the size on disk by part ("wal", "blocks", "meta").
	Bytes map[string]int64
	// Limit is how many bytes the store keeps at most, 0: no bound.
	Limit int64
	// Oldest and Newest bound the stored samples, 0 when there are none.
	Oldest, Newest                      libpf.UnixTimeNs
	Stacks, Symbols, Executables, Hosts int64
}

// Store keeps profiles. All methods are safe for concurrent use, and return
// early with the context's error when it ends.
type Store interface {
	// Epoch names this life of the definitions, 16 bytes; it changes when the
	// store was emptied.
	Epoch() [16]byte
	// Append stores samples. When it returns nil the batch survives a crash of the
	// process and of the machine. duplicate reports that it had been stored before.
	Append(ctx context.Context, b *Batch) (duplicate bool, err error)
	// Applied reports whether a batch, of samples or of definitions, was stored: a
	// repeat of it would be a duplicate. It works while the store takes no writes.
	Applied(ctx context.Context, id BatchID) (bool, error)
	// RunLedgers lists the runs of agents of a project that are still remembered,
	// sorted by host and run. It agrees with what Append acknowledged, after a crash too.
	RunLedgers(ctx context.Context, project string) ([]RunLedger, error)
	// Put stores definitions, with the promise of Append.
	Put(ctx context.Context, d *Definitions) (duplicate bool, err error)
	// Select sums the samples that match by group, bucket and stack and hands
	// each sum to yield once, in no order, until yield returns false. The row is
	// only valid during the call.
	Select(ctx context.Context, q *Query, yield func(*Row) bool) (Coverage, error)
	// Samples hands every sample that matches to yield, in no order, until yield
	// returns false. GroupBy, Step and ByStack mean nothing; neither does
	// Sample.Series. Both are only valid during the call.
	Samples(ctx context.Context, q *Query, yield func(*Sample, *Series) bool) error
	// Stacks, Symbols and Executables look definitions up. What is not known is
	// missing from the answer.
	Stacks(ctx context.Context, project string, hashes []libpf.TraceHash) (map[libpf.TraceHash][]libpf.Frame, error)
	Symbols(ctx context.Context, project string, frames []libpf.FrameID) (map[libpf.FrameID][]libpf.SourceLine, error)
	Executables(ctx context.Context, project string, files []libpf.FileID) (map[libpf.FileID]libpf.Executable, error)
	Hosts(ctx context.Context, project string) ([]Host, error)
	// LabelNames lists the names of labels that series in the range have, sorted.
	LabelNames(ctx context.Context, q *Query) ([]string, error)
	// LabelValues lists the values of a label with the sum of the values of the
	// samples that match, largest first.
	LabelValues(ctx context.Context, q *Query, search LabelSearch) (LabelValues, error)
	// Types lists what a project has samples of in a time range, sorted by type.
	Types(ctx context.Context, project string, from, to libpf.UnixTimeNs) ([]TypeSum, error)
	// Expire removes everything older than t, roll-ups too. Definitions that
	// nothing refers to may go too.
	Expire(ctx context.Context, t libpf.UnixTimeNs) error
	// Delete removes what is selected, for good: when it returns nil no answer
	// and no file holds it any more. Roll-ups of what is selected by other labels
	// than [RollUpLabels] are made again from the samples that are left; what they
	// hold from before the oldest sample stays. removed counts rows.
	Delete(ctx context.Context, d *Deletion) (removed int64, err error)
	Stats(ctx context.Context) (Stats, error)
	// Close flushes and releases everything. No method may be called after it.
	Close() error
}

// LabelSearch says which values of a label are wanted.
type LabelSearch struct {
	Name   string
	Prefix string // of the values
	Limit  int    // most values to list, 0: all
}

// LabelValues are values of a label.
type LabelValues struct {
	Values []LabelValue
	// Hidden is how many more there are.
	Hidden int
}

// LabelValue is a value of a label and how much of the samples carry it.
type LabelValue struct {
	Value string
	Count int64 // samples
	Sum   int64 // in the unit of the type
}

// TypeSum says how much there is of a type of samples.
type TypeSum struct {
	Type       libpf.SampleType
	Count, Sum int64
}
