// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/klauspost/compress/zstd"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// errClosed is returned by methods of a closed store.
var errClosed = errors.New("store is closed")

// Store is the engine. It is safe for concurrent use.
type Store struct {
	cfg     Config
	logger  *slog.Logger
	metrics *metrics
	guard   guard
	lock    *os.File
	db      *pebble.DB
	fs      *patientFS
	zstdEnc *zstd.Encoder
	zstdDec *zstd.Decoder
	epoch   [16]byte

	// writes are those to Pebble that nobody may wait for any more.
	writes sync.WaitGroup

	// closed is set first in Close, which then waits for users to leave.
	closed atomic.Bool
	users  sync.RWMutex
	// requests are the batches that wait for the committer.
	requests chan *request
	// cuts asks the committer to hand the head to the flusher; it answers with what
	// is closed when all that was in a head is in blocks.
	cuts chan chan (<-chan struct{})
	stop chan struct{} // ends the watcher
	done sync.WaitGroup

	startup startup
	// walFirst and walOffset are where the replay starts.
	walFirst  uint64
	walOffset int64

	// Owned by the replay and then by the committer.
	wal       *wal
	lastGroup int
	numbered  []numbered // memory for a group
	flushJobs chan flushJob
	gaveUp    chan struct{} // closed when the flusher cannot write and must end

	// What readers see. Changed by the committer and the flusher.
	viewMu  sync.RWMutex
	head    *head
	old     *head // being written as a block, nil when none is
	blocks  []*block
	expired int64 // ms
	// horizons say up to which times data were removed for want of room.
	horizons map[seriesScope]floors
	// oldDone is closed when old has become a block.
	oldDone chan struct{}

	// listMu is held while the list of blocks is changed on disk.
	listMu    sync.Mutex
	nextBlock atomic.Uint64 // the last number that was given out
	// upkeep has room for one: whoever rewrites blocks puts something in, so that
	// nothing changes the blocks meanwhile but a flush and an expiry.
	upkeep  chan struct{}
	backlog backlog
	// mergeBytes is about what the rewrite of blocks that goes on takes.
	mergeBytes atomic.Int64
	// flushed has room for one: a head was written since merging last looked.
	flushed chan struct{}
	// working ends when the store is being closed.
	working context.Context
	quit    context.CancelFunc

	// winMu is held by whoever changes winSamples or reads it.
	winMu      sync.RWMutex
	winSamples *windows

	defsMu     sync.Mutex
	defWindows *windows
	// counts are changed under defsMu and read without.
	counts atomic.Pointer[defCounts]

	remote *remote // nil: none

	// opened is db for metrics, which may be read before everything is open.
	opened     atomic.Pointer[pebble.DB]
	clock      atomic.Int64 // counts queries, to find the blocks that rest
	labelCache *labelCache
	// openBytes is what open blocks took when that was last added up.
	openBytes atomic.Int64

	garbage garbage
	// barred are the projects that are being deleted as a whole.
	barred barred
	// byteLimit is the last bound of the bytes on disk.
	byteLimit atomic.Int64
	// lookedAt is how many stacks there were when they were last packed.
	lookedAt atomic.Int64
	// forgotten counts how often definitions were removed.
	forgotten atomic.Uint64
}

var _ store.Store = (*Store)(nil)

// Open opens the store in a directory, and replays what the last process had
// acknowledged but not yet put in blocks; with [Config.ReplayInBackground] it returns
// before that is done. It fails while the disk takes no writes, since Pebble writes
// when it opens.
func Open(cfg Config) (*Store, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Store{
		cfg: cfg, logger: cfg.Logger,
		requests:   make(chan *request, 256),
		stop:       make(chan struct{}),
		flushJobs:  make(chan flushJob, 1),
		gaveUp:     make(chan struct{}),
		head:       newHead(),
		labelCache: newLabelCache(cfg.LabelBytes),
		upkeep:     make(chan struct{}, 1),
		flushed:    make(chan struct{}, 1),
		cuts:       make(chan chan (<-chan struct{})),
	}
	s.startup.done = make(chan struct{})
	s.working, s.quit = context.WithCancel(context.Background())
	s.guard.logger = cfg.Logger
	s.fs = &patientFS{
		FS: cfg.metaFS, every: cfg.checkEvery,
		report: func(reason string) { s.guard.set(causeMeta, reason) },
	}
	// Not open yet, the store can serve nobody while it waits for the disk.
	if _, err := s.await(context.Background(), always, func() (bool, error) { return true, s.open() }); err != nil {
		_ = s.release()
		return nil, cfg.openError(err)
	}
	s.checkSpace()
	s.done.Go(s.flushLoop)
	s.done.Go(s.watchLoop)
	s.done.Go(func() { s.startLoop(s.walFirst, s.walOffset) })
	if !cfg.ReplayInBackground {
		if err := s.awaitReplayed(); err != nil {
			_ = s.Close()
			return nil, cfg.openError(err)
		}
	}
	s.done.Go(s.compactLoop)
	if s.remote != nil {
		s.done.Go(s.offloadLoop)
	}
	s.done.Go(s.retainLoop)
	return s, nil
}

// openError says what could not be opened and what to do about it.
func (c *Config) openError(err error) error {
	if diskTrouble(err) || errors.Is(err, store.ErrReadOnly) {
		err = fmt.Errorf("%w: free space on its disk, or make it writable, and start again", err)
	}
	return fmt.Errorf("open store %s: %w", c.Dir, err)
}

// open opens everything in the directory.
func (s *Store) open() (err error) {
	dir := s.cfg.Dir
	for _, d := range []string{dir, s.walDir(), s.blocksDir()} {
		if err := os.MkdirAll(d, 0o750); err != nil {
			return fmt.Errorf("create directory: %w", err)
		}
	}
	if s.lock, err = lockDir(dir); err != nil {
		return err
	}
	if err := raiseFormat(dir); err != nil { // before anything is touched
		return err
	}
	if err := errors.Join(checkRestored(dir), s.removeSnapshots()); err != nil {
		return err
	}
	if free, err := s.cfg.freeBytes(dir); err == nil {
		s.checkReserve(free)
	}
	if s.metrics, err = newMetrics(s.cfg.Registerer, s); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	if s.zstdEnc, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<20)); err != nil {
		return fmt.Errorf("create compressor: %w", err)
	}
	if s.zstdDec, err = zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxRecord)); err != nil {
		return fmt.Errorf("create decompressor: %w", err)
	}
	if s.db, err = openPebble(filepath.Join(dir, "meta"), s.fs, s.logger, s.cfg.MetaBytes); err != nil {
		return err
	}
	s.opened.Store(s.db)
	if err := syncDir(dir); err != nil {
		return err
	}
	m, err := loadMeta(s.db)
	if err != nil {
		return err
	}
	s.epoch, s.expired = m.epoch, m.expired
	s.counts.Store(&m.counts)
	if s.winSamples, err = loadWindows(s.db, windowSamples, s.cfg.WindowTTL); err != nil {
		return err
	}
	if s.defWindows, err = loadWindows(s.db, windowDefinitions, s.cfg.WindowTTL); err != nil {
		return err
	}
	if err := errors.Join(s.openObjects(), s.loadOwner()); err != nil {
		return err
	}
	if err := errors.Join(s.loadBlocks(), s.claimObjects()); err != nil {
		return err
	}
	if s.horizons, err = loadHorizons(s.db); err != nil {
		return err
	}
	s.loadGarbage()
	s.walFirst, s.walOffset = m.walFirst, m.walOffset
	return nil
}

func (s *Store) walDir() string    { return filepath.Join(s.cfg.Dir, "wal") }
func (s *Store) blocksDir() string { return filepath.Join(s.cfg.Dir, "blocks") }

// Epoch implements [store.Store].
func (s *Store) Epoch() [16]byte { return s.epoch }

// ReadOnly returns why the store does not take writes at the moment, "" when it does.
func (s *Store) ReadOnly() string { return s.guard.reason() }

// enter keeps the store open until users.RUnlock is called.
func (s *Store) enter() error {
	s.users.RLock()
	if s.closed.Load() {
		s.users.RUnlock()
		return errClosed
	}
	return nil
}

// loadBlocks reads the list of blocks and removes files that are not in it: a
// crash came between writing the file and listing it, or between taking it off
// the list and removing it.
func (s *Store) loadBlocks() error {
	listed := make(map[string]bool)
	err := scan(s.db, []byte{keyBlock}, func(_, value []byte) error {
		info, err := decodeBlockInfo(value)
		if err != nil {
			return err
		}
		if info.Remote && s.remote == nil {
			return fmt.Errorf("block %s: %w", info.files()[0], errNoObjects)
		}
		for _, name := range info.files() {
			listed[name] = !info.Remote
		}
		s.nextBlock.Store(max(s.nextBlock.Load(), info.Number))
		s.blocks = append(s.blocks, s.newBlock(info))
		return nil
	})
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(s.blocksDir())
	if err != nil {
		return fmt.Errorf("list blocks: %w", err)
	}
	present := make(map[string]bool, len(entries))
	for _, e := range entries {
		present[e.Name()] = true
		if e.IsDir() || listed[e.Name()] {
			continue
		}
		if ext := filepath.Ext(e.Name()); ext != ".parquet" && ext != ".tmp" {
			continue // not ours
		}
		s.metrics.orphans.Inc()
		s.logger.Info("removing file of an unfinished block", "file", e.Name())
		if err := os.Remove(filepath.Join(s.blocksDir(), e.Name())); err != nil {
			return fmt.Errorf("remove unfinished block: %w", err)
		}
	}
	for _, b := range s.blocks {
		if b.info.Remote {
			continue // what is missing there is found when it is read
		}
		// Without a companion the samples answer.
		b.sums = slices.DeleteFunc(b.sums, func(c *block) bool {
			lost := !present[c.info.File] && b.info.File != ""
			if lost {
				s.metrics.blockErrors.Inc()
				s.logger.Error("roll-up of a block is missing; its samples are read instead", "file", c.info.File)
			}
			return lost
		})
		b.info.Sums = slices.DeleteFunc(b.info.Sums, func(c sumsInfo) bool { return b.companion(c.Kind) == nil })
		for _, part := range b.parts() {
			if !present[part.info.File] {
				return fmt.Errorf("block %s is missing: restore it, or start with an empty data directory", part.info.File)
			}
		}
	}
	return s.removeTables()
}

// newBlock returns the block that an entry of the list describes.
func (s *Store) newBlock(info *blockInfo) *block {
	b := s.newPart(info, "")
	for _, c := range info.Sums {
		b.sums = append(b.sums, s.newPart(&blockInfo{
			Number: info.Number, Level: info.Level, Project: info.Project, Type: info.Type, File: c.File, Rows: c.Rows, Bytes: c.Bytes, Sum: c.Sum, Remote: info.Remote,
			MinTime: info.MinTime, MaxTime: info.MaxTime, Sorted: true,
		}, c.Kind))
	}
	return b
}

// newPart returns what reads one file of a block.
func (s *Store) newPart(info *blockInfo, kind sumsKind) *block {
	raw := func(number uint64) ([]byte, error) { return get(s.db, tableKey(number, kind)) }
	return &block{
		info: info, read: s.openBlockFile, caught: s.caught, kind: kind, width: kind.width(), rawTable: raw,
		loadTable: func(number uint64) ([]blockSeries, error) {
			v, err := raw(number)
			if err != nil {
				return nil, err
			}
			return decodeSeriesTable(v, s.zstdDec)
		},
	}
}

// caught, when deferred, turns a panic of the decoder of blocks into an error. Blocks
// are files, and those that a bad disk or a stranger changed must end no more
// than the query that reads them.
func (s *Store) caught(err *error) {
	if r := recover(); r != nil {
		s.metrics.blockPanics.Inc()
		s.logger.Error("reading a block ended in a panic", "panic", r, "stack", string(debug.Stack()))
		*err = fmt.Errorf("read block: %w: %v", errCodec, r)
	}
}

// readView returns what a query reads.
func (s *Store) readView() (heads []*head, blocks []*block, expired int64) {
	s.viewMu.RLock()
	defer s.viewMu.RUnlock()
	heads = append(heads, s.head)
	if s.old != nil {
		heads = append(heads, s.old)
	}
	return heads, slices.Clone(s.blocks), s.expired
}

// evictBlocks closes the blocks that rested longest when too many are open, or they
// take too much memory.
func (s *Store) evictBlocks() {
	type entry struct {
		*block
		bytes int64
	}
	_, blocks, _ := s.readView()
	var open []entry
	var bytes int64
	for _, b := range blocks {
		for _, part := range b.parts() {
			if n := part.openBytes(); n > 0 {
				open = append(open, entry{part, n})
				bytes += n
			}
		}
	}
	s.openBytes.Store(bytes)
	if len(open) <= s.cfg.MaxOpenBlocks && bytes <= s.cfg.BlockBytes {
		return
	}
	slices.SortFunc(open, func(a, b entry) int { return cmp.Compare(a.used.Load(), b.used.Load()) })
	for i, b := range open {
		if len(open)-i <= s.cfg.MaxOpenBlocks && bytes <= s.cfg.BlockBytes {
			break
		}
		b.evict()
		bytes -= b.bytes
	}
	s.openBytes.Store(bytes)
}

// Expire implements [store.Store].
func (s *Store) Expire(ctx context.Context, t libpf.UnixTimeNs) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.users.RUnlock()
	limit := store.CeilMs(t)
	s.listMu.Lock()
	defer s.listMu.Unlock()
	_, blocks, expired := s.readView()
	if limit <= expired {
		return nil
	}
	var gone []*block
	for _, block := range blocks {
		if block.info.MaxTime < limit {
			gone = append(gone, block)
		}
	}
	err := s.swapLocked(ctx, gone, nil, func(b *pebble.Batch) error { return b.Set([]byte(keyExpired), encodeInt(limit), nil) },
		func() { s.expired = limit })
	if err != nil {
		return fmt.Errorf("expire: %w", err)
	}
	s.metrics.expiredBlocks.Add(float64(len(gone)))
	return nil
}

// headBytes returns the memory of the samples that are not in a block yet.
func (s *Store) headBytes() int64 {
	heads, _, _ := s.readView()
	var n int64
	for _, h := range heads {
		n += h.bytes.Load()
	}
	return n
}

// metaBytes returns the memory of Pebble.
func (s *Store) metaBytes() int64 {
	if s.enter() != nil {
		return 0
	}
	defer s.users.RUnlock()
	db := s.opened.Load()
	if db == nil {
		return 0
	}
	m := db.Metrics()
	return m.BlockCache.Size + int64(m.MemTable.Size) //nolint:gosec // far below
}
