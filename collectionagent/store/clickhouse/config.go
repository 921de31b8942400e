// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	driver "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// Config says where and how to store. The zero value of every field but DSN is
// replaced by its default.
type Config struct {
	// DSN says where the servers are: clickhouse://user@host:9000,host2:9000/database?secure=true.
	// It may hold the password; [ParseDSN] says when it must not.
	DSN string
	// Password replaces that of the DSN, where it is not empty.
	Password string
	// RootCAs are who may sign the certificate of the servers, nil for those of the
	// system. It matters with secure=true in the DSN.
	RootCAs *x509.CertPool
	// Cluster is the name of the cluster in the configuration of the servers. Tables
	// are then replicated and spread over its shards. "": a single server.
	Cluster string
	// Quorum is how many replicas must have what is acknowledged. 0: two, or one of
	// tables that have no more. It means nothing without a cluster.
	Quorum int
	// Logger defaults to none.
	Logger *slog.Logger
	// Registerer gets the engine's metrics. Default: none.
	Registerer prometheus.Registerer
	// Retention says how long the servers keep data. Bytes means nothing here.
	Retention store.Retention
	// KeepExpiry leaves what the servers were told of Retention as it is.
	KeepExpiry bool
	// GroupWindow is the least time from one insert to the next. Servers want few
	// large inserts; what comes in the meantime shares the next. Default 200 ms.
	GroupWindow time.Duration
	// GroupRows is how many samples an insert has at most, about. Default 100,000.
	GroupRows int
	// PendingBytes bounds the memory of the batches that wait for an insert.
	// Default 64 MiB.
	PendingBytes int64
	// QueryTimeout and QueryMemory bound a query on the server. Defaults: 60 s, 4 GiB.
	QueryTimeout time.Duration
	QueryMemory  int64
	// MaintainEvery is how often roll-ups are checked and what crashes left behind
	// is removed. Default 10 minutes; below 0: never.
	MaintainEvery time.Duration

	// LegacyForTests makes tables that the server of Debian 12 (18.16) can hold,
	// which our tests run against. It lacks codecs, expiry by age and much else.
	LegacyForTests bool
	// ConnForTests replaces the connection to the server.
	ConnForTests Conn

	// now, where it is not nil, is the clock.
	now func() time.Time
	// takeover is how long an insert waits for another one of the same batch.
	takeover time.Duration
}

// withDefaults returns the configuration with defaults filled in.
func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Registerer == nil {
		c.Registerer = prometheus.NewRegistry()
	}
	c.GroupWindow = cmp.Or(c.GroupWindow, 200*time.Millisecond)
	c.GroupRows = cmp.Or(c.GroupRows, 100_000)
	c.PendingBytes = cmp.Or(c.PendingBytes, 64<<20)
	c.QueryTimeout = cmp.Or(c.QueryTimeout, time.Minute)
	c.QueryMemory = cmp.Or(c.QueryMemory, 4<<30)
	c.MaintainEvery = cmp.Or(c.MaintainEvery, 10*time.Minute)
	c.takeover = cmp.Or(c.takeover, 3*time.Second)
	if c.now == nil {
		c.now = time.Now
	}
	return c
}

// DefaultDatabase holds the tables when the DSN names no database.
const DefaultDatabase = "strobe"

// databaseName is what a name of a database may be. It becomes a part of paths.
var databaseName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)

// ErrPassword is returned (wrapped) by [ParseDSN] for a password in a place that
// others can see.
var ErrPassword = errors.New("password in the address of the server")

// ParseDSN checks an address of servers. Unless secret, as the command line is not,
// it must not hold a password. No error repeats it.
func ParseDSN(dsn string, secret bool) error {
	options, err := parseDSN(dsn)
	if err != nil {
		return err
	}
	if !secret && options.Auth.Password != "" {
		return fmt.Errorf("%w: put the address into a file, or the password into an environment variable", ErrPassword)
	}
	return nil
}

// parseDSN reads an address of servers.
func parseDSN(dsn string) (*driver.Options, error) {
	scheme, _, ok := strings.Cut(dsn, "://")
	if !ok || (scheme != "clickhouse" && scheme != "tcp" && scheme != "native") {
		return nil, errors.New("address of the ClickHouse server must be like clickhouse://user@host:9000/database (native protocol)")
	}
	options, err := driver.ParseDSN(dsn)
	if err != nil {
		// The cause may quote parts of the password.
		return nil, errors.New("address of the ClickHouse server is not a valid URL: user and password must be URL-encoded")
	}
	for _, a := range options.Addr {
		if !strings.Contains(a, ":") {
			return nil, fmt.Errorf("address of the ClickHouse server: %q is not of the form host:port", a)
		}
	}
	options.Auth.Database = cmp.Or(options.Auth.Database, DefaultDatabase)
	if !databaseName.MatchString(options.Auth.Database) {
		return nil, errors.New("name of the ClickHouse database must be made of letters, digits and _")
	}
	if options.Auth.Username == "" {
		options.Auth.Username = "default"
	}
	if options.TLS == nil && strings.Contains(strings.ToLower(dsn), "skip_verify") {
		return nil, errors.New("address of the ClickHouse server has skip_verify and not secure=true: there is no TLS, and no certificate to skip")
	}
	return options, nil
}

// options returns how to connect, and the name of the database.
func (c *Config) options() (*driver.Options, string, error) {
	options, err := parseDSN(c.DSN)
	if err != nil {
		return nil, "", err
	}
	if c.Password != "" {
		options.Auth.Password = c.Password
	}
	if options.TLS != nil {
		options.TLS.MinVersion = tls.VersionTLS12
		options.TLS.RootCAs = c.RootCAs
	}
	switch {
	case options.TLS == nil && !allLoopback(options.Addr):
		c.Logger.Warn("samples and the password go to clickhouse without TLS: secure=true in the address switches it on")
	case options.TLS != nil && options.TLS.InsecureSkipVerify:
		c.Logger.Warn("the certificate of clickhouse is not checked, by skip_verify in its address: anyone on the way may read and change what is stored")
	}
	database := options.Auth.Database
	// It may not exist yet; statements name it.
	options.Auth.Database = ""
	options.DialTimeout = cmp.Or(options.DialTimeout, 5*time.Second)
	options.ReadTimeout = cmp.Or(options.ReadTimeout, 5*time.Minute)
	options.MaxOpenConns = cmp.Or(options.MaxOpenConns, 32)
	options.MaxIdleConns = cmp.Or(options.MaxIdleConns, 8)
	if options.Compression == nil {
		options.Compression = &driver.Compression{Method: driver.CompressionLZ4}
	}
	options.ClientInfo.Products = append(options.ClientInfo.Products, struct{ Name, Version string }{"strobe-collectionagent", "1"})
	return options, database, nil
}

// allLoopback reports whether no address is of another machine.
func allLoopback(addresses []string) bool {
	return !slices.ContainsFunc(addresses, func(a string) bool {
		host, _, err := net.SplitHostPort(a)
		ip := net.ParseIP(host)
		return err != nil || (host != "localhost" && !ip.IsLoopback())
	})
}

// PasswordFromEnvironment is the name of the environment variable of the password.
const PasswordFromEnvironment = "STROBE_CLICKHOUSE_PASSWORD" //nolint:gosec // a name

// ReadDSN reads an address of servers from a file.
func ReadDSN(path string) (string, error) {
	b, err := os.ReadFile(path) //nolint:gosec // named by the operator
	if err != nil {
		return "", fmt.Errorf("read the address of the ClickHouse server: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}
