// SPDX-License-Identifier: Apache-2.0

// Package config holds the settings of the agent. They come from the command
// line, the environment and a file, in this order: a setting on the command
// line beats one in the environment, which beats one in the file, which beats
// the default. A list is taken from the first of them that has it, as a whole.
package config

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/internal/containers"
	"github.com/strobe-profiler/strobe/internal/settings"
	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/proto/tlsfiles"
)

// Config are the settings of the daemon. Every field is a flag; see options.go
// for what each one means.
type Config struct {
	Exporter               string
	CollectionAgent        string
	DisableTLS             bool
	TLSCA, TLSCert, TLSKey string
	TLSServerName          string
	TokenFile              string
	SpoolDir               string
	SpoolBytes             settings.Bytes

	OTLPEndpoint, OTLPProtocol, OTLPCompression string
	OTLPHeadersFile                             string
	OTLPTimeout                                 time.Duration

	settings.Profiling
	MemoryLimit settings.Bytes
	Tags        []libpf.Label

	// Whom to ask for the names of containers, and which labels of theirs to send.
	ContainerSockets           []string
	Kubelet, KubeletCA         string
	KubeletSkipVerify          bool
	ContainerLabels, PodLabels []string

	HTTPAddress      string
	KeepCapabilities bool
	Verbose          bool
	LogFormat        string
}

// Bounds of settings.
const (
	// MinUserMemory is what the agent needs beside the unwind tables to do its
	// work without spending it on garbage collection.
	MinUserMemory = 64 << 20
	minSpoolBytes = 1 << 20
	maxSpoolBytes = 1 << 40
	// HTTPOff is the HTTPAddress that means none.
	HTTPOff = "off"
	// SpoolOff is the SpoolDir that means none.
	SpoolOff = "off"
)

// Default returns the settings that hold when nobody says anything.
func Default() Config {
	return Config{
		Exporter:        ExporterStrobe,
		CollectionAgent: "127.0.0.1:11000",
		SpoolDir:        "/var/lib/strobe/agent/spool",
		SpoolBytes:      512 << 20,
		Profiling:       settings.Default(),
		MemoryLimit:     256 << 20,
		HTTPAddress:     "127.0.0.1:7071",
		LogFormat:       "text",

		ContainerSockets: []string{containers.SocketsAuto},
		Kubelet:          containers.KubeletAuto,
	}
}

// Validate reports everything that is wrong with the settings, each with the
// flag's name and what it accepts.
func (c *Config) Validate() error {
	var errs []error
	report := func(flag, format string, args ...any) {
		errs = append(errs, fmt.Errorf("-%s: "+format, append([]any{flag}, args...)...))
	}
	c.Check(report)
	c.checkOTLP(report)
	c.checkContainers(report)
	if err := checkAddress(c.CollectionAgent); err != nil {
		report("collection-agent", "%w", err)
	}
	if c.HTTPAddress != HTTPOff {
		if err := checkAddress(c.HTTPAddress); err != nil {
			report("http-address", "%w, or %q", err, HTTPOff)
		}
	}
	if c.DisableTLS && c.anyTLS() {
		report("disable-tls", "contradicts -tls-ca, -tls-cert, -tls-key and -tls-server-name")
	}
	if strings.ContainsAny(c.TLSServerName, " /*") || strings.Contains(c.TLSServerName, ":") && net.ParseIP(c.TLSServerName) == nil {
		report("tls-server-name", "%q is not a host name or an IP address without a port", c.TLSServerName)
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		report("tls-cert", "needs -tls-key, and the other way round")
	}
	if c.SpoolBytes < minSpoolBytes || c.SpoolBytes > maxSpoolBytes {
		report("spool-bytes", "is %v, must be %v to %v", c.SpoolBytes, settings.Bytes(minSpoolBytes), settings.Bytes(maxSpoolBytes))
	}
	// Relative, it would depend on where the agent happens to be started.
	if c.SpoolDir != SpoolOff && !path.IsAbs(c.SpoolDir) {
		report("spool-dir", "is %q, must be an absolute path or %q", c.SpoolDir, SpoolOff)
	}
	if c.UnwindTableBytes <= settings.MaxUnwindTableBytes && c.MemoryLimit < c.UnwindTableBytes+MinUserMemory {
		report("memory-limit", "is %v, must be at least -unwind-table-bytes plus %v, which is %v",
			c.MemoryLimit, settings.Bytes(MinUserMemory), c.UnwindTableBytes+MinUserMemory)
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		report("log-format", "is %q, must be text or json", c.LogFormat)
	}
	return errors.Join(sortErrors(errs)...)
}

// checkAddress accepts host:port with a port that can be used.
func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not host:port", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 && host == "" {
		return fmt.Errorf("%q has no port from 1 to 65535", address)
	}
	return nil
}

// IsLoopback reports whether an address can be reached from this host only.
func IsLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Plaintext reports whether the connection to the collection agent is not
// encrypted: if that was asked for, or if it never leaves the host and nobody
// gave a setting of TLS.
func (c *Config) Plaintext() bool {
	return c.DisableTLS || IsLoopback(c.CollectionAgent) && !c.anyTLS()
}

// anyTLS reports whether there is a setting that only TLS has a use for.
func (c *Config) anyTLS() bool { return c.TLSCA+c.TLSCert+c.TLSKey+c.TLSServerName != "" }

// TLS checks the TLS files and returns the configuration that is the same for
// every connection. The files are not in it: whoever connects names them as well,
// and reads them again when they change. It returns nil when the connection is
// plaintext.
func (c *Config) TLS() (*tls.Config, error) {
	if c.Plaintext() {
		return nil, nil //nolint:nilnil // documented
	}
	return c.tls()
}

// tls is TLS of a connection that is encrypted.
func (c *Config) tls() (*tls.Config, error) {
	if _, err := tlsfiles.Open(tlsfiles.Options{CertFile: c.TLSCert, KeyFile: c.TLSKey, CAFile: c.TLSCA}); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, ServerName: c.TLSServerName}, nil
}

// Spool returns the directory of the spool, "" for none.
func (c *Config) Spool() string {
	if c.SpoolDir == SpoolOff {
		return ""
	}
	return c.SpoolDir
}
