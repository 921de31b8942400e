// SPDX-License-Identifier: Apache-2.0

package clickhouse_test

import (
	"context"
	"flag"
	"fmt"
	"hash/fnv"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/clickhouse"
	"github.com/strobe-profiler/strobe/collectionagent/store/clickhouse/clickhousetest"
	"github.com/strobe-profiler/strobe/collectionagent/store/storetest"
)

// Variables that tell the child of a crash test where the servers are.
const (
	envPrefix = "CLICKHOUSE_TEST_PREFIX" // of the address, up to the database
	envSuffix = "CLICKHOUSE_TEST_SUFFIX"
	envKind   = "CLICKHOUSE_TEST_KIND"
)

func TestMain(m *testing.M) {
	clickhousetest.ServeCurrent()
	storetest.CrashChild(func(dir string) (store.Store, error) {
		s := servers{kind: os.Getenv(envKind), dsn: func(database string) string {
			return os.Getenv(envPrefix) + database + os.Getenv(envSuffix)
		}}
		return clickhouse.Open(context.Background(), s.config(databaseOf(dir)))
	})
	// The tests wait for their servers more than they compute, and the servers for their
	// disk and for each other.
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", "4"); err != nil {
			panic(err) // there is no such flag any more
		}
	}
	goleak.VerifyTestMain(m)
}

// Kinds of servers.
const (
	legacy   = "legacy"
	replicas = "replicas"
	current  = "current"
	// withoutQuorum are replicas where one has to have what is acknowledged.
	withoutQuorum = "replicas without quorum"
)

// servers are where a store may keep its data.
type servers struct {
	kind string
	dsn  func(database string) string
}

// config returns the configuration of a store with the servers.
func (s servers) config(database string) clickhouse.Config {
	c := clickhouse.Config{DSN: s.dsn(database), GroupWindow: time.Millisecond, MaintainEvery: -1}
	c.LegacyForTests = s.kind != current
	c.SetTakeover(300 * time.Millisecond)
	if s.kind == replicas || s.kind == withoutQuorum {
		c.Cluster = clickhousetest.Cluster
	}
	if s.kind == withoutQuorum {
		c.Quorum = 1
	}
	return c
}

// open opens a store in a database.
func (s servers) open(t *testing.T, database string) *clickhouse.Store {
	t.Helper()
	st, err := clickhouse.Open(t.Context(), s.config(database))
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return st
}

// conform returns the suite of all engines, with a database for each directory.
func (s servers) conform(seeds uint64) func(t *testing.T) {
	return func(t *testing.T) { s.conformWith(t, seeds) }
}

func (s servers) conformWith(t *testing.T, seeds uint64) {
	storetest.RunSeeds(t, func(t *testing.T, dir string) store.Store {
		t.Helper()
		st, err := clickhouse.Open(t.Context(), s.config(databaseOf(dir)))
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		return st
	}, seeds)
}

// databaseOf returns the name of the database that stands for a directory.
func databaseOf(dir string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(dir)) // cannot fail
	return fmt.Sprintf("t%x", h.Sum64())
}

// one returns a single server.
func one(kind string, s *clickhousetest.Server) servers { return servers{kind, s.DSN} }

// TestLegacy is the engine on a real server, over a socket.
func TestLegacy(t *testing.T) {
	t.Parallel()
	server := clickhousetest.StartLegacy(t)
	s := one(legacy, server)
	t.Run("conformance", s.conform(2))
	t.Run("open at the same time", func(t *testing.T) { testOpenTogether(t, []servers{s}) })
	t.Run("failover", func(t *testing.T) { testFailover(t, legacy, [2]string{server.Addr, server.Addr}) })
	t.Run("server killed", func(t *testing.T) { testServerKilled(t, s, server) })
}

// TestLegacyAgentKilled kills agents. It sets variables of this process, so that nothing
// else may run at the same time.
func TestLegacyAgentKilled(t *testing.T) {
	testAgentKilled(t, one(legacy, clickhousetest.StartLegacy(t)))
}

// TestLegacyAway is a server that comes up after the collection agent.
func TestLegacyAway(t *testing.T) {
	t.Parallel()
	testAway(t, legacy, clickhousetest.NewLegacy(t))
}

// TestCurrent is the engine on the current version of the server: all tables as
// users have them, and every query, with what docs/clickhouse.md has granted and no more.
func TestCurrent(t *testing.T) {
	t.Parallel()
	server := clickhousetest.NewCurrent(t, &clickhousetest.User{Name: "default", Grants: clickhousetest.DocumentedGrants(t, "t*")})
	testAway(t, current, server)
	s := one(current, server)
	t.Run("conformance", s.conform(1))
	t.Run("open at the same time", func(t *testing.T) { testOpenTogether(t, []servers{s}) })
	t.Run("failover", func(t *testing.T) { testFailover(t, current, [2]string{server.Addr, server.Addr}) })
	t.Run("server killed", func(t *testing.T) { testServerKilled(t, s, server) })
}

// TestReplicas is the engine on two servers that hold the same.
func TestReplicas(t *testing.T) {
	t.Parallel()
	r := clickhousetest.StartReplicas(t)
	first := servers{replicas, func(database string) string { return r.DSN(database, 0, 1) }}
	second := servers{replicas, func(database string) string { return r.DSN(database, 1, 0) }}
	// This version never rewrites the last part that was written with a quorum, so
	// that deletions wait for ever: the suite is without, and uses one replica. It has
	// no random histories: a store takes replicas seconds to open.
	alone := servers{withoutQuorum, func(database string) string { return r.DSN(database, 0) }}
	t.Run("conformance", alone.conform(1))
	t.Run("open at the same time", func(t *testing.T) { testOpenTogether(t, []servers{first, second}) })
	t.Run("failover", func(t *testing.T) {
		testFailover(t, replicas, [2]string{r.Servers[0].Addr, r.Servers[1].Addr})
	})
	t.Run("replica killed", func(t *testing.T) { testReplicaKilled(t, r) })
}
