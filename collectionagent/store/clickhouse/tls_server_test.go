// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"crypto/x509"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/collectionagent/store/clickhouse/clickhousetest"
)

// TestTLS connects to a real server's port for TLS: with the right authority, and in
// all the ways that must not work.
func TestTLS(t *testing.T) {
	server, secure, authority := clickhousetest.StartLegacyTLS(t)
	trusted := x509.NewCertPool()
	if !trusted.AppendCertsFromPEM(authority) {
		t.Fatal("the authority is not a certificate")
	}
	_, port, _ := strings.Cut(secure, ":")
	for name, c := range map[string]struct {
		address, parameters string
		roots               *x509.CertPool
		want                string // part of the error, "": it works
		warning             string // part of the log, "": none
	}{
		"authority":             {secure, "&secure=true", trusted, "", ""},
		"no authority":          {secure, "&secure=true", nil, "certificate signed by unknown authority", ""},
		"another authority":     {secure, "&secure=true", x509.NewCertPool(), "certificate signed by unknown authority", ""},
		"another name":          {"localhost:" + port, "&secure=true", trusted, "certificate is ", ""},
		"name given":            {"localhost:" + port, "&secure=true&tls_server_name=127.0.0.1", trusted, "", ""},
		"not checked":           {secure, "&secure=true&skip_verify=true", nil, "", "is not checked"},
		"nothing to skip":       {secure, "&skip_verify=true", nil, "skip_verify and not secure=true", ""},
		"TLS to a port without": {server.Addr, "&secure=true", trusted, "first record does not look like a TLS handshake", ""},
		"no TLS to a port with": {secure, "", nil, "cannot be reached", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			cfg := Config{
				DSN: "clickhouse://default@" + c.address + "/tls?dial_timeout=2s" + c.parameters, RootCAs: c.roots,
				LegacyForTests: true, GroupWindow: 1, MaintainEvery: -1,
				Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})),
			}
			s, err := Open(t.Context(), cfg)
			if c.want != "" {
				if err == nil {
					err = s.Close()
					t.Fatalf("opened (%v), want an error with %q", err, c.want)
				}
				if !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %q, want one with %q", err, c.want)
				}
				// A certificate does not become right by waiting.
				if wait := c.want == "cannot be reached"; errors.Is(err, ErrAway) != wait {
					t.Errorf("error %v: to be tried again: %v, want %v", err, !wait, wait)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Append(t.Context(), simpleBatch(uint64(len(name)), 10)); err != nil {
				t.Error(err)
			}
			if n, _ := total(t, s); n < 10 {
				t.Errorf("%d samples", n)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if got := log.String(); (got != "") != (c.warning != "") || !strings.Contains(got, c.warning) {
				t.Errorf("log %q, want %q", got, c.warning)
			}
		})
	}
}
