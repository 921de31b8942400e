// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"cmp"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/collectionagent/memory"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/objects"
)

// Config says where and how to store. The zero value of every field but Dir is
// replaced by its default.
type Config struct {
	// Dir is the data directory. It is created when it does not exist.
	Dir string
	// Logger defaults to none.
	Logger *slog.Logger
	// Registerer gets the engine's metrics. Default: none.
	Registerer prometheus.Registerer
	// HeadMaxBytes bounds the memory of samples that are not in a block yet: one
	// half fills while the other is written. Default 256 MiB.
	HeadMaxBytes int64
	// HeadMaxAge is how long samples stay in memory at most. Default 30 minutes.
	HeadMaxAge time.Duration
	// SegmentBytes is the size at which a new log segment starts. Default 16 MiB.
	SegmentBytes int64
	// GroupWindow is how long a commit waits at most for the writers that were
	// there last time. Default 5 ms.
	GroupWindow time.Duration
	// MinFreeBytes is the free disk space below which writes are refused, so that
	// there is room to write the head and for Pebble to work. Default 256 MiB.
	// Negative: writes are only refused when they fail.
	MinFreeBytes int64
	// WindowTTL is how long the batches of an agent's run are remembered after
	// the last one. Default 30 days.
	WindowTTL time.Duration
	// MaxOpenBlocks bounds how many blocks stay open between queries. Default 256.
	MaxOpenBlocks int
	// BlockBytes bounds the memory of blocks that stay open between queries, of which
	// the tables of series are the most. Default 128 MiB.
	BlockBytes int64
	// LabelBytes bounds what is remembered of the values of labels. Default 64 MiB.
	LabelBytes int64
	// MetaBytes is the memory of Pebble: its cache and memtables. Default 64 MiB.
	MetaBytes int64
	// ReplayInBackground makes Open return before the log is replayed, see
	// [Store.Replaying].
	ReplayInBackground bool
	// CompactionBytes is about the memory of a merge of blocks. Default 128 MiB.
	CompactionBytes int64
	// QueryMemory is what queries take their memory from, unless the context of a
	// query carries a claim. nil: they have no bounds.
	QueryMemory *memory.Budget

	// Objects is where blocks of level 1 and more are kept; nil: on the disk. The
	// prefix must be this store's alone.
	Objects objects.Bucket
	// ObjectCacheBytes bounds the disk space for parts of blocks from object
	// storage. Default 1 GiB.
	ObjectCacheBytes int64

	objectCacheDir string
	objectEvery    time.Duration // between looks for what is to be moved
	objectGrace    time.Duration // age of objects before they count as leftovers
	objectClaim    time.Duration // for the claim of the prefix at the start

	// Retention says how long data stay. Default: for ever.
	Retention store.Retention
	// RetentionShare bounds what is kept, like Retention.Bytes, by a share of the file
	// system that holds Dir, not counting what others use of it: 0.8 leaves a fifth of
	// the rest free. Default 0: no bound.
	RetentionShare float64

	// ReserveBytes is the size of a file that is given up when the disk is full, so that
	// the store can be opened and can remove data. Default 0: none.
	ReserveBytes int64

	// now is the clock. Default [time.Now].
	now func() time.Time
	// garbageGrace is how long definitions stay that nothing refers to. Default 24 hours.
	garbageGrace time.Duration
	// packLeast is how many stacks of a project are worth a pack, packDue how many that are
	// stored one by one are worth looking for them.
	packLeast int
	packDue   int64
	// retainEvery is how often retention looks for work.
	retainEvery time.Duration
	// Faults for tests.
	createSegment func(path string) (walFile, error)
	freeBytes     func(dir string) (uint64, error)
	checkEvery    time.Duration
	// maxStall is how long writers wait for a block to be written when memory is full.
	maxStall   time.Duration
	metaFS     vfs.FS
	files      fileOps
	compaction compactionConfig
	// beforeCommit comes before each change of the list of blocks but a flush.
	beforeCommit func() error
}

// withDefaults returns the configuration with defaults filled in.
func (c Config) withDefaults() (Config, error) {
	if c.Dir == "" {
		return c, errors.New("open store: no data directory")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Registerer == nil {
		c.Registerer = prometheus.NewRegistry()
	}
	c.HeadMaxBytes = cmp.Or(c.HeadMaxBytes, 256<<20)
	c.HeadMaxAge = cmp.Or(c.HeadMaxAge, 30*time.Minute)
	c.SegmentBytes = cmp.Or(c.SegmentBytes, 16<<20)
	c.GroupWindow = cmp.Or(c.GroupWindow, 5*time.Millisecond)
	c.MinFreeBytes = cmp.Or(c.MinFreeBytes, 256<<20)
	c.WindowTTL = cmp.Or(c.WindowTTL, 30*24*time.Hour)
	c.MaxOpenBlocks = cmp.Or(c.MaxOpenBlocks, 256)
	c.ObjectCacheBytes = cmp.Or(c.ObjectCacheBytes, 1<<30)
	c.objectCacheDir = cmp.Or(c.objectCacheDir, filepath.Join(c.Dir, "cache"))
	c.objectEvery = cmp.Or(c.objectEvery, 10*time.Second)
	c.objectGrace = cmp.Or(c.objectGrace, time.Hour)
	c.objectClaim = cmp.Or(c.objectClaim, 10*time.Second)
	c.CompactionBytes = cmp.Or(c.CompactionBytes, 128<<20)
	c.BlockBytes = cmp.Or(c.BlockBytes, 128<<20)
	c.LabelBytes = cmp.Or(c.LabelBytes, 64<<20)
	c.MetaBytes = cmp.Or(c.MetaBytes, 64<<20)
	c.checkEvery = cmp.Or(c.checkEvery, time.Second)
	c.garbageGrace = cmp.Or(c.garbageGrace, 24*time.Hour)
	c.packLeast = cmp.Or(c.packLeast, 256)
	c.packDue = cmp.Or(c.packDue, 1<<14)
	c.retainEvery = cmp.Or(c.retainEvery, time.Minute)
	if c.now == nil {
		c.now = time.Now
	}
	c.maxStall = cmp.Or(c.maxStall, 2*time.Second)
	if c.createSegment == nil {
		c.createSegment = createFile
	}
	if c.freeBytes == nil {
		c.freeBytes = freeBytes
	}
	c.compaction.inputTable = cmp.Or(c.compaction.inputTable, min(maxInputTable, c.CompactionBytes/4))
	c.compaction = c.compaction.withDefaults()
	if c.files.create == nil {
		c.files = localFiles()
	}
	if c.metaFS == nil {
		c.metaFS = vfs.Default
	}
	return c, nil
}
