// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/auth"
	"github.com/strobe-profiler/strobe/collectionagent/profilemetrics"
	"github.com/strobe-profiler/strobe/collectionagent/scrape"
)

// Config is everything that can be set.
type Config struct {
	DataDir         string
	HTTPAddress     string
	GRPCAddress     string
	TLSCert         string
	TLSKey          string
	TLSClientCA     string
	TLSClientAuth   string
	TLSNames        string
	Insecure        bool
	Auth            auth.Mode
	AuthFile        string // "": auth.json in DataDir
	Store           storeKind
	ClickHouse      ClickHouse
	Objects         Objects
	AllowedHosts    string // separated by commas
	ScrapeConfig    string // file, "": nothing is scraped
	ProfileMetrics  string // file, "": no metrics are made of profiles
	Memory          Bytes  // of all parts together, 0: by the machine
	HeadMaxBytes    Bytes  // 0: a part of Memory
	MinFreeBytes    Bytes
	Retention       Retention
	MaxRequestBytes Bytes
	MaxConcurrent   int
	Limits          Limits
	ShutdownTimeout time.Duration
	LogLevel        slog.Level
	LogFormat       string
	// KeepAges is set in commands that work on data beside the server, which alone
	// decides how long they stay: their own flags of -retention may well be missing.
	KeepAges bool
}

// Default returns the configuration of a start without flags.
func Default() Config {
	return Config{
		DataDir:         "./strobe-data",
		HTTPAddress:     "127.0.0.1:7070",
		GRPCAddress:     "127.0.0.1:11000",
		Auth:            auth.ModeAuto,
		Store:           storeEmbedded,
		TLSClientAuth:   clientAuthAll,
		Objects:         Objects{CacheBytes: 1 << 30},
		MinFreeBytes:    256 << 20,
		Retention:       defaultRetention(),
		MaxRequestBytes: 16 << 20,
		MaxConcurrent:   64,
		Limits:          defaultLimits(),
		ShutdownTimeout: 30 * time.Second,
		LogLevel:        slog.LevelInfo,
		LogFormat:       "text",
	}
}

// Bounds of settings.
const (
	minHeadBytes    = 4 << 20
	maxHeadBytes    = 64 << 30
	minRequestBytes = 64 << 10
	maxRequestBytes = 64 << 20 // what the zstd compressor of the protocol unfolds at most
)

// Validate returns all that is wrong with the configuration, joined.
func (c *Config) Validate() error {
	var errs []error
	bad := func(name, format string, args ...any) {
		errs = append(errs, fmt.Errorf("-%s: "+format, append([]any{name}, args...)...))
	}
	if c.DataDir == "" {
		bad("data-dir", "is empty")
	}
	for _, a := range []struct{ name, address string }{{"http-address", c.HTTPAddress}, {"grpc-address", c.GRPCAddress}} {
		if err := checkAddress(a.address); err != nil {
			bad(a.name, "%w", err)
		}
	}
	switch c.Auth {
	case auth.ModeAuto, auth.ModeRequired:
	case auth.ModeOff:
		if c.reachable() && !c.Insecure {
			bad("auth", "is off, and everybody who can reach the addresses could read and write everything: "+
				"leave it at auto, or give -insecure if everyone on that network is trusted")
		}
	default:
		bad("auth", "is %q, must be auto, required or off", c.Auth)
	}
	for _, host := range c.allowedHosts() {
		if strings.ContainsAny(host, ":/ ") {
			bad("allowed-hosts", "%q is not the name of a host: expected names without port, separated by commas", host)
		}
	}
	c.validateTLS(bad)
	c.validateStore(bad)
	c.validateObjects(bad)
	c.Retention.validate(bad)
	between := func(name string, v, lowest, highest Bytes) {
		if v < lowest || v > highest {
			bad(name, "is %s, must be from %s to %s", v, lowest, highest)
		}
	}
	if c.HeadMaxBytes != 0 {
		between("head-max-bytes", c.HeadMaxBytes, minHeadBytes, maxHeadBytes)
	}
	between("max-request-bytes", c.MaxRequestBytes, minRequestBytes, maxRequestBytes)
	if c.MinFreeBytes < 0 {
		bad("min-free-bytes", "is negative")
	}
	if c.MaxConcurrent < 1 || c.MaxConcurrent > 10_000 {
		bad("max-concurrent", "is %d, must be from 1 to 10000", c.MaxConcurrent)
	}
	errs = append(errs, c.Limits.validate(c)...)
	if len(errs) == 0 { // what is wrong with the parts shows in their sum, too
		if _, err := c.memoryPlan(); err != nil {
			errs = append(errs, err)
		}
	}
	if c.ShutdownTimeout <= 0 {
		bad("shutdown-timeout", "is %s, must be positive", c.ShutdownTimeout)
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		bad("log-format", "is %q, must be text or json", c.LogFormat)
	}
	return errors.Join(errs...)
}

// checkFiles reads the files that the configuration names, and changes none. What
// the server makes itself may be missing.
func (c *Config) checkFiles() error {
	_, err := c.openTLSFiles(c.TLSCert, c.TLSKey, nil)
	if c.ScrapeConfig != "" {
		err = errors.Join(err, scrape.Check(c.ScrapeConfig))
	}
	if c.ProfileMetrics != "" {
		err = errors.Join(err, profilemetrics.Check(c.ProfileMetrics))
	}
	if c.Auth == auth.ModeOff {
		return err
	}
	if _, e := auth.Read(c.authFile()); !errors.Is(e, fs.ErrNotExist) {
		err = errors.Join(err, e)
	}
	return err
}

// reachable reports whether other machines can reach one of the addresses.
func (c *Config) reachable() bool { return !isLoopback(c.HTTPAddress) || !isLoopback(c.GRPCAddress) }

// authFile returns the path of the file of projects and tokens.
func (c *Config) authFile() string {
	if c.AuthFile == "" {
		return filepath.Join(c.DataDir, "auth.json")
	}
	return c.AuthFile
}

// allowedHosts returns the names in -allowed-hosts.
func (c *Config) allowedHosts() []string {
	var hosts []string
	for host := range strings.SplitSeq(c.AllowedHosts, ",") {
		if host = strings.TrimSpace(host); host != "" {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// checkAddress checks the form of an address to listen on.
func checkAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not of the form host:port", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q: port must be a number from 0 to 65535", address)
	} else if n == 0 {
		return nil // any free port
	}
	return nil
}

// isLoopback reports whether only this machine can reach the address. A name
// other than localhost may point anywhere, so it counts as reachable.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// Bytes is a number of bytes. As text it may carry a unit: 64MiB, 1.5GiB, 500kB.
type Bytes int64

var byteUnits = []struct {
	suffix string
	factor float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1},
}

// String returns the number in the largest unit that divides it.
func (b Bytes) String() string {
	for i := 3; i >= 0; i-- {
		if f := Bytes(byteUnits[i].factor); b != 0 && b%f == 0 {
			return strconv.FormatInt(int64(b/f), 10) + byteUnits[i].suffix
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// MarshalText implements encoding.TextMarshaler.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Bytes) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	for _, u := range byteUnits {
		number, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || !(v >= 0 && v*u.factor < 1<<63) { // NaN too
			break
		}
		*b = Bytes(v * u.factor)
		return nil
	}
	return fmt.Errorf("%q is not a size such as 64MiB or 1GB", s)
}
