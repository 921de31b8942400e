// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/collectionagent/memory"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/collectionagent/store/clickhouse"
	"github.com/strobe-profiler/strobe/collectionagent/store/embedded"
)

// storeKind names an engine.
type storeKind string

// Engines.
const (
	storeEmbedded   storeKind = "embedded"
	storeClickHouse storeKind = "clickhouse"
)

// ClickHouse says where the servers are when they keep the data.
type ClickHouse struct {
	DSN     string // without a password
	DSNFile string // of a file, which may have one
	Cluster string
	Quorum  int
	CA      string
}

// register adds the flags.
func (c *ClickHouse) register(fs *flag.FlagSet) {
	fs.StringVar(&c.DSN, "clickhouse-dsn", c.DSN, "`address` of ClickHouse for -store clickhouse: clickhouse://user@host:9000/database, ?secure=true for TLS; the password is in the environment, as "+clickhouse.PasswordFromEnvironment)
	fs.StringVar(&c.DSNFile, "clickhouse-dsn-file", c.DSNFile, "`file` with the address in place of -clickhouse-dsn; it may hold the password")
	fs.StringVar(&c.Cluster, "clickhouse-cluster", c.Cluster, "`name` of the cluster in the configuration of ClickHouse: tables are replicated and spread over its shards")
	fs.IntVar(&c.Quorum, "clickhouse-quorum", c.Quorum, "`number` of replicas that must have what is acknowledged, with -clickhouse-cluster; 0: two, or one of tables that only one has")
	fs.StringVar(&c.CA, "clickhouse-ca", c.CA, "PEM `file` with the authority that signed the certificate of ClickHouse (default those of the system)")
}

// registerStore adds the flags that say where the data are, beside -data-dir.
func (c *Config) registerStore(fs *flag.FlagSet) {
	fs.StringVar((*string)(&c.Store), "store", string(c.Store), "`engine` that keeps the data: embedded (in -data-dir) or clickhouse")
	c.ClickHouse.register(fs)
	c.Objects.register(fs)
}

// validateStore reports what is wrong with the choice of the engine.
func (c *Config) validateStore(bad func(name, format string, args ...any)) {
	h := &c.ClickHouse
	switch c.Store {
	case storeEmbedded:
		if h.DSN != "" || h.DSNFile != "" || h.Cluster != "" {
			bad("store", "is embedded, but there are settings of ClickHouse: did you mean -store clickhouse?")
		}
		return
	case storeClickHouse:
	default:
		bad("store", "is %q, must be embedded or clickhouse", string(c.Store))
		return
	}
	switch {
	case h.DSN == "" && h.DSNFile == "":
		bad("clickhouse-dsn", "is missing: -store clickhouse needs the address of a server")
	case h.DSN != "" && h.DSNFile != "":
		bad("clickhouse-dsn-file", "and -clickhouse-dsn both give an address")
	case h.DSN != "":
		if err := clickhouse.ParseDSN(h.DSN, false); errors.Is(err, clickhouse.ErrPassword) {
			bad("clickhouse-dsn", "holds a password, which others could see: put the address into a file for -clickhouse-dsn-file, or the password into %s", clickhouse.PasswordFromEnvironment)
		} else if err != nil {
			bad("clickhouse-dsn", "%w", err)
		}
	}
	if h.Quorum < 0 {
		bad("clickhouse-quorum", "is negative")
	}
}

// engine is a store with a status.
type engine interface {
	store.Store
	// ReadOnly says why it does not take writes, "" when it does.
	ReadOnly() string
}

// replaying is an engine that serves queries before all of its log is read.
type replaying interface {
	// Replaying says how far it has come, "" when it is done.
	Replaying() string
	// WaitReplayed waits until it is, and returns why it cannot be.
	WaitReplayed(ctx context.Context) error
}

// straining is an engine that says when its own work is so far behind that queries
// are dear because of it.
type straining interface{ Strained() bool }

// reserveBytes is twice what the definitions write when they are opened.
const reserveBytes = 32 << 20

// openStore opens the engine that is configured. It says what it waits for, and
// returns no engine and no error when the context ends first.
func openStore(ctx context.Context, c *Config, plan *memory.Plan, queries *memory.Budget, logger *slog.Logger, registry prometheus.Registerer, waiting func(string)) (engine, error) {
	if c.Store != storeClickHouse {
		bucket, err := c.Objects.open()
		if err != nil {
			return nil, err
		}
		var keep Retention // for ever
		if !c.KeepAges {
			keep = c.Retention
		}
		db, err := embedded.Open(embedded.Config{
			Dir: c.DataDir, Logger: logger, Registerer: registry,
			MinFreeBytes: cmp.Or(int64(c.MinFreeBytes), -1),
			HeadMaxBytes: plan.Bytes[memory.Head], BlockBytes: plan.Bytes[memory.Blocks], MetaBytes: plan.Bytes[memory.Metadata],
			LabelBytes:         plan.Bytes[memory.Labels],
			ReplayInBackground: true,
			CompactionBytes:    plan.Bytes[memory.Compaction], QueryMemory: queries,
			ReserveBytes: reserveBytes, Retention: keep.engine(), RetentionShare: float64(keep.Bytes.Percent) / 100,
			Objects: bucket, ObjectCacheBytes: int64(c.Objects.CacheBytes),
		})
		if err != nil {
			return nil, err
		}
		return db, nil
	}
	cfg, err := c.clickHouse()
	if err != nil {
		return nil, err
	}
	cfg.Logger, cfg.Registerer, cfg.PendingBytes = logger, registry, plan.Bytes[memory.Head]
	if info, err := os.Stat(c.ClickHouse.DSNFile); err == nil && info.Mode().Perm()&0o004 != 0 {
		logger.Warn("every user of this machine may read the file with the address of ClickHouse", "file", c.ClickHouse.DSNFile,
			"mode", info.Mode().Perm().String(), "advice", "chmod 0600, or 0640 with a group of its own")
	}
	var db *clickhouse.Store
	err = retryOpen(ctx, logger, waiting, func() (err error) {
		open, cancel := context.WithTimeout(ctx, 2*time.Minute)
		defer cancel()
		db, err = clickhouse.Open(open, cfg)
		return err
	})
	if err != nil || db == nil {
		return nil, err
	}
	return db, nil
}

// clickHouse returns the configuration of the engine.
func (c *Config) clickHouse() (cfg clickhouse.Config, err error) {
	h := &c.ClickHouse
	cfg = clickhouse.Config{
		DSN: h.DSN, Password: os.Getenv(clickhouse.PasswordFromEnvironment), Cluster: h.Cluster, Quorum: h.Quorum,
		QueryTimeout: c.Limits.QueryTimeout, Retention: c.Retention.engine(), KeepExpiry: c.KeepAges,
	}
	if h.DSNFile != "" {
		if cfg.DSN, err = clickhouse.ReadDSN(h.DSNFile); err != nil {
			return cfg, fmt.Errorf("-clickhouse-dsn-file: %w", err)
		}
		if err := clickhouse.ParseDSN(cfg.DSN, true); err != nil {
			return cfg, fmt.Errorf("-clickhouse-dsn-file: %w", err)
		}
	}
	if h.CA == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(h.CA)
	if err != nil {
		return cfg, fmt.Errorf("-clickhouse-ca: %w", err)
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(pem) {
		return cfg, fmt.Errorf("-clickhouse-ca: no certificate in %s", h.CA)
	}
	return cfg, nil
}

// Times between attempts to reach ClickHouse.
const (
	firstRetry = time.Second
	lastRetry  = 15 * time.Second
)

// retryOpen opens until that works, while the server is away.
func retryOpen(ctx context.Context, logger *slog.Logger, waiting func(string), open func() error) error {
	for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
		err := open()
		switch {
		case err == nil:
			waiting("")
			return nil
		case ctx.Err() != nil:
			return nil
		case !errors.Is(err, clickhouse.ErrAway):
			return err
		}
		waiting("the ClickHouse server cannot be reached, the log has the cause")
		logger.Warn("waiting for ClickHouse", "err", err, "retry_in", pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}
