// SPDX-License-Identifier: Apache-2.0

package clickhouse_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/clickhouse"
	"github.com/strobe-profiler/strobe/collectionagent/store/clickhouse/clickhousetest"
	"github.com/strobe-profiler/strobe/collectionagent/store/storetest"
)

// testOpenTogether opens several stores at the same time on no database.
func testOpenTogether(t *testing.T, on []servers) {
	const n = 6
	database := databaseOf(t.Name())
	stores := make([]*clickhouse.Store, n)
	var wg sync.WaitGroup
	for i := range stores {
		wg.Go(func() {
			var err error
			if stores[i], err = clickhouse.Open(t.Context(), on[i%len(on)].config(database)); err != nil {
				t.Errorf("open: %v", err)
			}
		})
	}
	wg.Wait()
	f := &fleet{agents: 2, batches: 5, samples: 10}
	var all []store.Store
	for _, s := range stores {
		if s == nil {
			return // it was said why
		}
		all = append(all, s)
		defer func() {
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}()
		if s.Epoch() != stores[0].Epoch() {
			t.Error("two stores of one database have different epochs")
		}
	}
	if t.Failed() {
		return
	}
	f.send(t, all...)
	for _, s := range all {
		f.check(t, "a store opened with others", s)
	}
}

// testFailover has agents that send to two collection agents whose connections to
// their servers break all the time.
func testFailover(t *testing.T, kind string, addresses [2]string) {
	database := databaseOf(t.Name())
	f := &fleet{agents: 4, batches: 25, samples: 40}
	var stores []store.Store
	var relays []*clickhousetest.Relay
	for _, address := range addresses {
		relay := clickhousetest.StartRelay(t, address)
		relays = append(relays, relay)
		stores = append(stores, servers{kind, relay.DSN}.open(t, database))
	}
	stop := make(chan struct{})
	var network sync.WaitGroup
	network.Go(func() {
		rnd := rand.New(rand.NewPCG(1, 1))
		for {
			r := relays[rnd.IntN(len(relays))]
			r.CutAfter(rnd.Int64N(3000)) // mostly an answer or two
			select {
			case <-stop:
			case <-time.After(time.Duration(50+rnd.IntN(250)) * time.Millisecond):
			}
			r.Mend()
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(100+rnd.IntN(200)) * time.Millisecond):
			}
		}
	})
	f.send(t, stores...)
	close(stop)
	network.Wait()
	t.Logf("%d batches acknowledged, %d failures, the last: %v", f.acknowledged.Load(), f.failed.Load(), f.failure())
	if f.failed.Load() == 0 {
		t.Error("no connection broke")
	}
	for i, s := range stores {
		f.check(t, "collection agent "+string(rune('A'+i)), s)
	}
}

// testAgentKilled kills collection agents that write.
func testAgentKilled(t *testing.T, s servers) {
	prefix, suffix, _ := strings.Cut(s.dsn("@@"), "@@")
	for name, value := range map[string]string{envPrefix: prefix, envSuffix: suffix, envKind: s.kind} {
		t.Setenv(name, value)
	}
	storetest.Crash(t, 4, func(t *testing.T, dir string) store.Store {
		t.Helper()
		st, err := clickhouse.Open(t.Context(), s.config(databaseOf(dir)))
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		return st
	})
}

// testServerKilled kills the server while agents write, and starts it again.
func testServerKilled(t *testing.T, s servers, server *clickhousetest.Server) {
	database := databaseOf(t.Name())
	f := &fleet{agents: 4, batches: 30, samples: 40}
	stores := []store.Store{s.open(t, database), s.open(t, database)}
	var sending sync.WaitGroup
	sending.Go(func() { f.send(t, stores...) })
	for kill := range int64(2) {
		await(t, "batches are stored", func() bool { return f.acknowledged.Load() >= (kill+1)*int64(f.agents*f.batches)/4 })
		failed := f.failed.Load()
		server.Kill()
		await(t, "batches fail without a server", func() bool { return f.failed.Load() > failed })
		server.Start()
	}
	sending.Wait()
	t.Logf("%d batches acknowledged, %d failures, the last: %v", f.acknowledged.Load(), f.failed.Load(), f.failure())
	for _, st := range stores {
		f.check(t, "after the server was killed", st)
	}
}

// testReplicaKilled kills one replica while agents write, and starts it again.
func testReplicaKilled(t *testing.T, r *clickhousetest.Replicas) {
	database := databaseOf(t.Name())
	f := &fleet{agents: 4, batches: 20, samples: 40}
	var stores []store.Store
	for _, order := range [][]int{{0, 1}, {1, 0}} {
		s := servers{replicas, func(database string) string { return r.DSN(database, order...) }}
		stores = append(stores, s.open(t, database))
	}
	var sending sync.WaitGroup
	sending.Go(func() { f.send(t, stores...) })
	await(t, "batches are stored", func() bool { return f.acknowledged.Load() >= int64(f.agents*f.batches)/4 })
	failed := f.failed.Load()
	r.Servers[1].Kill()
	await(t, "batches are refused that only one replica has", func() bool { return f.failed.Load() > failed })
	r.Servers[1].Start()
	sending.Wait()
	t.Logf("%d batches acknowledged, %d failures, the last: %v", f.acknowledged.Load(), f.failed.Load(), f.failure())
	for i, server := range r.Servers {
		// What the log of a table has at most is 0 when it has nothing, too.
		await(t, "the replica has caught up", func() bool {
			behind := server.Query("SELECT concat(table, ' ', toString(queue_size), ' ', toString(log_pointer), '/', toString(log_max_index))" +
				" FROM system.replicas WHERE database = '" + database + "' AND (is_readonly OR queue_size > 0 OR (log_max_index > 0 AND log_pointer <= log_max_index))")
			return len(behind) == 0
		})
		s := servers{replicas, func(database string) string { return r.DSN(database, i) }}
		f.check(t, "replica "+string(rune('1'+i)), s.open(t, database))
	}
	sum := "SELECT concat(toString(count()), ' ', toString(sum(cityHash64(ins, ts, service, host, stack, count, value)))) FROM " +
		database + ".samples_local"
	if a, b := r.Servers[0].Query(sum), r.Servers[1].Query(sum); a[0] != b[0] {
		t.Errorf("replicas hold %s and %s", a[0], b[0])
	}
}

// testAway opens a store before its server is up.
func testAway(t *testing.T, kind string, server *clickhousetest.Server) {
	s := one(kind, server)
	database := databaseOf(t.Name())
	if st, err := clickhouse.Open(t.Context(), s.config(database)); !errors.Is(err, clickhouse.ErrAway) {
		if err == nil {
			err = st.Close()
		}
		t.Fatalf("open without a server: %v, want ErrAway", err)
	}
	server.Start()
	f := &fleet{agents: 1, batches: 3, samples: 10}
	st := s.open(t, database)
	f.send(t, st)
	f.check(t, "a store whose server came late", st)
}
