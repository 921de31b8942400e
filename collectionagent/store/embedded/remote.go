// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/collectionagent/store/objects"
)

// remote is the object storage of a store. Blocks of level 1 and more are put there;
// once all files of one are, its entry in the list says so and the files on the disk
// go. The log, the head and blocks of level 0 stay on the disk, and so does
// everything while the storage is away.
type remote struct {
	bucket *objects.Patient
	cache  *objects.Cache
	reader *objects.Reader
	owner  owner
	logger *slog.Logger
	// borrowed says that another store owns the cache.
	borrowed bool
	// busy has room for one: whoever changes what is in the storage puts something in.
	busy     chan struct{}
	removing chan struct{} // the same for removals
	wake     chan struct{}

	mu sync.Mutex
	// gone are the objects to remove, and holds how many still want to read some of them.
	gone  []goneObject
	holds int
	// uploading is the block whose files are being put, nil: none; uploaded is closed when
	// that has ended.
	uploading *block
	uploaded  chan struct{}
	// trouble is why uploads wait, "" when they do not.
	trouble string
	// tidied says that there are no more leftovers of the process before; tidyAt is when to
	// look for them again.
	tidied bool
	tidyAt time.Time
	// damaged are local blocks that are not what they should be. They are not uploaded.
	damaged map[uint64]bool

	requests                *prometheus.CounterVec
	transferred, readFrom   *prometheus.CounterVec
	faulty, removed, orphan prometheus.Counter
}

// goneObject is an object to remove once no query reads it any more.
type goneObject struct {
	name string
	part *block
}

// errNoObjects is returned for a block in object storage when none is set up.
var errNoObjects = errors.New("the block is in object storage: say where that is, with -object-store")

// openObjects sets the object storage up. It does not wait for it.
func (s *Store) openObjects() (err error) {
	if s.cfg.Objects == nil {
		return nil
	}
	r := &remote{
		bucket: &objects.Patient{Bucket: s.cfg.Objects}, logger: s.logger,
		busy: make(chan struct{}, 1), removing: make(chan struct{}, 1), wake: make(chan struct{}, 1), damaged: make(map[uint64]bool),
	}
	if p, ok := s.cfg.Objects.(*objects.Patient); ok {
		r.bucket = p
	}
	if err := r.register(s); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	if r.cache, err = objects.NewCache(s.cfg.objectCacheDir, s.cfg.ObjectCacheBytes, pieceBytes); err != nil {
		return err
	}
	s.remote = r
	ctx := s.working
	if ctx == nil {
		ctx = context.Background()
	}
	r.reader = &objects.Reader{
		Context: ctx, Bucket: r.bucket, Cache: r.cache, PieceBytes: pieceBytes,
		Hit:  func(n int) { r.readFrom.WithLabelValues("cache").Add(float64(n)) },
		Miss: func(n int) { r.readFrom.WithLabelValues("storage").Add(float64(n)) },
		Failed: func(err error) {
			r.faulty.Inc()
			s.logger.Warn("part of a block could not be taken from object storage or cached", "err", err)
		},
	}
	return nil
}

// register registers metrics.
func (r *remote) register(s *Store) error {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: metricsPrefix + name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: metricsPrefix + name, Help: help}, labels)
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: metricsPrefix + name, Help: help}, f)
	}
	r.requests = counters("object_requests_total", "Attempts at requests to object storage.", "operation", "result")
	r.transferred = counters("object_bytes_total", "Bytes of requests to object storage that worked.", "operation")
	r.readFrom = counters("object_read_bytes_total", "Bytes of blocks in object storage that were read, by where they came from.", "source")
	r.faulty = counter("object_faults_total", "Parts of blocks from object storage that had other bytes than they should, or could not be cached.")
	r.removed = counter("object_removed_total", "Objects that were removed because their block was replaced or expired.")
	r.orphan = counter("object_orphans_total", "Objects without an entry in the list of blocks, removed after a start.")
	r.bucket.Observe = func(operation string, bytes int64, _ time.Duration, err error) {
		result := "ok"
		if err != nil {
			result = "error"
		} else {
			r.transferred.WithLabelValues(operation).Add(float64(bytes))
		}
		r.requests.WithLabelValues(operation, result).Inc()
	}
	for _, c := range []prometheus.Collector{
		r.requests, r.transferred, r.readFrom, r.faulty, r.removed, r.orphan,
		gauge("object_storage_up", "0 while blocks wait because object storage cannot be used.", func() float64 {
			if s.ObjectTrouble() != "" {
				return 0
			}
			return 1
		}),
		gauge("object_pending_blocks", "Blocks that wait to be put into object storage.", func() float64 {
			return float64(len(s.localBlocks()))
		}),
		gauge("object_pending_removals", "Objects that wait to be removed.", func() float64 {
			r.mu.Lock()
			defer r.mu.Unlock()
			return float64(len(r.gone))
		}),
		gauge("object_cache_bytes", "Size of the cache of object storage on the disk.", func() float64 { return float64(r.cache.Bytes()) }),
	} {
		if err := s.cfg.Registerer.Register(c); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) closeObjects() {
	if s.remote != nil && !s.remote.borrowed {
		_ = s.remote.cache.Close() // nothing of it is needed
	}
}

// share returns the storage for another store that reads the same blocks.
func (r *remote) share() *remote {
	if r == nil {
		return nil
	}
	shared := &remote{reader: r.reader, borrowed: true}
	shared.owner.id = r.owner.id
	return shared
}

// ObjectTrouble returns why blocks are not put into object storage at the moment, ""
// when they are or there is none.
func (s *Store) ObjectTrouble() string {
	if s.remote == nil {
		return ""
	}
	s.remote.mu.Lock()
	defer s.remote.mu.Unlock()
	return s.remote.trouble
}

// objectsFail reports whether object storage could not be used when that was last tried.
func (s *Store) objectsFail() bool {
	return s.remote != nil && (s.remote.bucket.Failing() || s.ObjectTrouble() != "")
}

// openBlockFile opens the file of samples, or the one of a companion, that an entry describes.
func (s *Store) openBlockFile(info *blockInfo) (blockReader, error) {
	if info.Remote {
		if s.remote == nil {
			return nil, fmt.Errorf("%s: %w", info.File, errNoObjects)
		}
		return s.remote.reader.Open(s.remote.object(info.File), info.Bytes, info.Sum.piece), nil
	}
	f, err := os.Open(filepath.Join(s.blocksDir(), info.File))
	if err != nil {
		return nil, err
	}
	return localFile{f}, nil
}

// object returns the name of the object of a file. Each store has a folder of its
// own, so that none ever removes what is another's.
func (r *remote) object(file string) string { return "blocks/" + r.owner.id + "/" + file }

// removeObject has an object removed soon. It is never waited for: those who change
// the list of blocks must not wait for the network.
func (r *remote) removeObject(part *block) {
	if r == nil {
		return // the object stays until a start with object storage
	}
	name := r.object(part.info.File)
	r.cache.Forget(name, part.info.Bytes)
	r.mu.Lock()
	r.gone = append(r.gone, goneObject{name, part})
	r.mu.Unlock()
	r.nudge()
}

// nudge makes the background work begin now.
func (r *remote) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// holdObjects keeps objects from being removed until the function returned is called.
func (s *Store) holdObjects() (release func()) {
	r := s.remote
	if r == nil {
		return func() {}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.holds++
	return func() {
		r.mu.Lock()
		r.holds--
		r.mu.Unlock()
		r.nudge()
	}
}
