// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// Store keeps profiles in ClickHouse. It is safe for concurrent use, and so are
// several of them, in as many processes, on the same database.
type Store struct {
	cfg     Config
	conn    Conn
	layout  layout
	epoch   [16]byte
	metrics *metrics
	// replicas is how many servers have each part of a table, with a cluster.
	replicas replicaCount
	// owner tells this store's inserts from those of others.
	owner [16]byte

	queue   queue
	version atomic.Uint64 // last one that nextVersion returned
	hosts   sync.Mutex    // held while the description of a host is read and written
	upkeep  sync.Mutex    // held by Maintain, Delete and Expire

	// trouble says why writes fail, "" while they do not.
	trouble atomic.Pointer[string]

	stop    context.CancelFunc
	running sync.WaitGroup
	closing sync.Once
}

var _ store.Store = (*Store)(nil)

// ErrAway is returned (wrapped) by [Open] while no server can be reached. Opening
// again later may work.
var ErrAway = errors.New("clickhouse server cannot be reached")

// Open connects, brings the tables up to date and starts the goroutines that
// insert. The context bounds only this.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	s := &Store{cfg: cfg, conn: cfg.ConnForTests}
	options, database, err := cfg.options()
	if err != nil {
		return nil, err
	}
	if s.conn == nil {
		if s.conn, err = dial(options); err != nil {
			return nil, err
		}
	}
	s.layout = layout{database: database, cluster: cfg.Cluster, legacy: cfg.LegacyForTests}
	randomID(s.owner[:])
	s.trouble.Store(new(string))
	s.metrics = newMetrics(s)
	err = s.countReplicas(ctx)
	if err == nil {
		err = s.migrate(ctx)
	}
	if err != nil {
		_ = s.conn.Close()
		if w := forWriter(err); errors.Is(w, store.ErrReadOnly) || errors.Is(w, store.ErrBusy) {
			return nil, fmt.Errorf("%w: %w", ErrAway, err)
		}
		return nil, err
	}
	if err := s.metrics.register(cfg.Registerer); err != nil {
		_ = s.conn.Close()
		return nil, err
	}
	running, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	s.queue.init(cfg.PendingBytes)
	s.running.Go(func() { s.commitLoop(running) })
	if cfg.MaintainEvery > 0 {
		s.running.Go(func() { s.maintainLoop(running) })
	}
	return s, nil
}

// Epoch implements [store.Store].
func (s *Store) Epoch() [16]byte { return s.epoch }

var _ store.Healthy = (*Store)(nil)

// Health implements [store.Healthy]. How full the disks of the servers are they say themselves.
func (s *Store) Health() store.Health { return store.Health{ReadOnly: s.ReadOnly(), FreeBytes: -1} }

// ReadOnly says why the servers do not take writes at the moment, "" when they do.
func (s *Store) ReadOnly() string {
	if p := s.trouble.Load(); p != nil {
		return *p
	}
	return ""
}

// note remembers how the last write went, and logs when that changes.
func (s *Store) note(err error) {
	reason := ""
	var w *writeError
	if errors.As(err, &w) {
		reason = w.Error()
	}
	if before := s.trouble.Swap(&reason); before == nil || *before == reason {
		return
	}
	switch {
	case reason != "":
		s.cfg.Logger.Warn("clickhouse does not take samples, agents keep them", "reason", reason, "err", w.cause)
	case err == nil:
		s.cfg.Logger.Info("clickhouse takes samples")
	}
}

// Close implements [store.Store]. Batches that wait are inserted first.
func (s *Store) Close() error {
	var err error
	s.closing.Do(func() {
		s.queue.close()
		s.stop()
		s.running.Wait()
		err = s.conn.Close()
	})
	return err
}

// nextVersion returns a number that is larger than all before: the time, mostly.
// Its highest bit is free.
func (s *Store) nextVersion() uint64 {
	for {
		last := s.version.Load()
		next := max(uint64(s.cfg.now().UnixNano()), last+1) //nolint:gosec // after 1970
		if s.version.CompareAndSwap(last, next) {
			return next
		}
	}
}

// writeSettings are those of all inserts. Blocks are never taken for repeats:
// that is decided by what the batches table says, and equal sums of different
// batches must both count.
func (s *Store) writeSettings(table string) Settings {
	set := Settings{"insert_deduplicate": 0}
	if !s.layout.legacy {
		set["async_insert"] = 0
		set["max_partitions_per_insert_block"] = 0
	}
	if s.layout.cluster != "" {
		set["insert_distributed_sync"] = 1
		set["insert_quorum"] = s.quorum(table)
		set["insert_quorum_timeout"] = 30_000
		if !s.layout.legacy {
			set["insert_quorum_parallel"] = 0
		}
	}
	return set
}

// replicaCount is how many servers have a part of a table: of those that are spread
// over shards, and of those that are whole on every server.
type replicaCount struct{ sharded, whole int }

// of returns the number for a table.
func (r replicaCount) of(table string) int {
	if isSharded(table) {
		return r.sharded
	}
	return r.whole
}

// quorum returns how many replicas must have what is written to a table. By default
// they are two where there are two: with one, what was acknowledged would be gone with
// its disk, and collection agents on different replicas could both take a batch for
// new. More than two would add nothing to that but servers that must not be away.
func (s *Store) quorum(table string) int {
	n := s.replicas.of(table)
	if s.cfg.Quorum > 0 {
		return min(s.cfg.Quorum, n)
	}
	return min(2, n)
}

// countReplicas asks how large the cluster is.
func (s *Store) countReplicas(ctx context.Context) error {
	if s.layout.cluster == "" {
		return nil
	}
	var q statement
	q.add("SELECT toUInt64(count()), toUInt64(min(n)), toUInt64(sum(n)) FROM (SELECT shard_num, count() AS n FROM system.clusters WHERE cluster = ")
	q.str(s.layout.cluster).add(" GROUP BY shard_num)")
	var shards, fewest, all uint64
	if err := s.each(ctx, q.String(), nil, func(r Rows) error { return r.Scan(&shards, &fewest, &all) }); err != nil {
		return err
	}
	if shards == 0 {
		return fmt.Errorf("clickhouse knows no cluster %q: its name must be one in remote_servers of the servers' configuration", s.layout.cluster)
	}
	s.replicas = replicaCount{int(fewest), int(all)} //nolint:gosec // servers
	if s.cfg.Quorum > s.replicas.sharded {
		return fmt.Errorf("quorum is %d, but a shard of the cluster %q has only %d replicas: nothing could be written", s.cfg.Quorum, s.layout.cluster, fewest)
	}
	return nil
}

// readSettings are those of look-ups, which must see all that was acknowledged.
func (s *Store) readSettings() Settings {
	set := Settings{"max_query_size": 64 << 20, "max_ast_elements": 4_000_000, "max_expanded_ast_elements": 4_000_000}
	if s.layout.cluster != "" {
		set["select_sequential_consistency"] = 1
	}
	return set
}

// querySettings are those of queries that people wait for.
func (s *Store) querySettings() Settings {
	set := s.readSettings()
	set["max_execution_time"] = int(max(s.cfg.QueryTimeout/time.Second, 1))
	set["max_memory_usage"] = int(s.cfg.QueryMemory)
	return set
}

// ddlSettings are those of statements that change tables.
func (s *Store) ddlSettings() Settings {
	if s.layout.legacy {
		return nil
	}
	return Settings{"mutations_sync": 2, "materialize_ttl_after_modify": 1, "allow_suspicious_low_cardinality_types": 1}
}

// insert writes rows to a table. Where another write to the table waits for its
// quorum it tries again, but not with samples: some of their parts may be there.
func (s *Store) insert(ctx context.Context, table string, columns []Column) error {
	for {
		err := s.conn.Insert(ctx, string(s.layout.table(table)), columns, s.writeSettings(table))
		if table == tableSamples || codeOf(err) != codeQuorumInProgress || !pauseForQuorum(ctx) {
			return err
		}
	}
}

// pauseForQuorum waits a moment, because a table takes one write with a quorum
// after the other. It reports false when the context ended.
func pauseForQuorum(ctx context.Context) bool {
	pause := time.NewTimer(time.Duration(5+rand.IntN(45)) * time.Millisecond) //nolint:gosec // only so that not all try at once
	defer pause.Stop()
	select {
	case <-pause.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// one reads the single row of an answer.
func (s *Store) one(ctx context.Context, query string, dest ...any) error {
	return s.each(ctx, query, s.readSettings(), func(r Rows) error { return r.Scan(dest...) })
}

// errStop ends reading without an error.
var errStop = errors.New("stop reading")

// each calls f for every row of an answer, until f returns an error.
func (s *Store) each(ctx context.Context, query string, settings Settings, f func(Rows) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	rows, err := s.conn.Query(ctx, query, settings)
	if err != nil {
		return forReader(ctx, err)
	}
	defer func() { _ = rows.Close() }() // the error is that of Err
	for rows.Next() {
		if err := f(rows); err != nil {
			if errors.Is(err, errStop) {
				return nil
			}
			return forReader(ctx, err)
		}
	}
	return forReader(ctx, errors.Join(rows.Err(), ctx.Err()))
}
