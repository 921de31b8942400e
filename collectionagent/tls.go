// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/credentials"

	"github.com/strobe-profiler/strobe/collectionagent/ownca"
	"github.com/strobe-profiler/strobe/proto/tlsfiles"
)

// Values of -tls-client-auth: which addresses ask for certificates of clients.
const (
	clientAuthGRPC = "grpc"
	clientAuthAll  = "all"
)

// encrypts reports whether an address has TLS: all have it with a certificate that
// was given, and without one those that other machines can reach.
func (c *Config) encrypts(address string) bool {
	return c.TLSCert != "" || !isLoopback(address) && !c.Insecure
}

// ownCertificate reports whether the server makes its certificate itself.
func (c *Config) ownCertificate() bool {
	return c.TLSCert == "" && (c.encrypts(c.HTTPAddress) || c.encrypts(c.GRPCAddress))
}

// tlsNames returns the names of -tls-names.
func (c *Config) tlsNames() []string {
	return strings.FieldsFunc(c.TLSNames, func(r rune) bool { return r == ',' || r == ' ' })
}

// validateTLS reports what is wrong with the settings of TLS.
func (c *Config) validateTLS(bad func(name, format string, args ...any)) {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		bad("tls-cert", "-tls-cert and -tls-key go together, only one is given")
	}
	if c.TLSClientAuth != clientAuthGRPC && c.TLSClientAuth != clientAuthAll {
		bad("tls-client-auth", "is %q, must be grpc or all", c.TLSClientAuth)
	}
	if c.TLSClientCA != "" && !c.encrypts(c.GRPCAddress) {
		bad("tls-client-ca", "needs TLS on -grpc-address %s: give -tls-cert and -tls-key", c.GRPCAddress)
	}
	if c.TLSNames != "" && c.TLSCert != "" {
		bad("tls-names", "is for the certificate that the server makes itself, and -tls-cert is given")
	}
	for _, name := range c.tlsNames() {
		if !ownca.ValidName(name) {
			bad("tls-names", "%q is not a host name or an IP address", name)
		}
	}
}

// openTLSFiles reads the TLS files in the configuration.
func (c *Config) openTLSFiles(certFile, keyFile string, logger *slog.Logger) (*tlsfiles.Files, error) {
	files, err := tlsfiles.Open(tlsfiles.Options{
		CertFile: certFile, KeyFile: keyFile, CAFile: c.TLSClientCA, CAFlag: "-tls-client-ca",
		MetricsPrefix: "strobe_collectionagent", Logger: logger,
	})
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	return files, nil
}

// security is the TLS of both addresses. What is nil is plain.
type security struct {
	http      *tls.Config
	grpc      credentials.TransportCredentials
	authority *ownca.Authority // of a certificate that the server makes itself
}

// newSecurity reads the certificates, or makes them.
func newSecurity(c *Config, logger *slog.Logger, registerer prometheus.Registerer) (*security, error) {
	s := &security{}
	onHTTP, onGRPC := c.encrypts(c.HTTPAddress), c.encrypts(c.GRPCAddress)
	if !onHTTP && !onGRPC {
		return s, nil
	}
	certFile, keyFile := c.TLSCert, c.TLSKey
	if c.ownCertificate() {
		var err error
		if s.authority, err = openAuthority(c, logger); err != nil {
			return nil, err
		}
		certFile, keyFile = s.authority.ServerFile(), s.authority.ServerFile()
	}
	files, err := c.openTLSFiles(certFile, keyFile, logger)
	if err != nil {
		return nil, err
	}
	if err := registerer.Register(files); err != nil {
		return nil, fmt.Errorf("register metrics of TLS: %w", err)
	}
	if onHTTP {
		if s.http, err = files.ServerConfig(c.TLSClientCA != "" && c.TLSClientAuth == clientAuthAll, "h2", "http/1.1"); err != nil {
			return nil, err
		}
	}
	if onGRPC {
		if s.grpc, err = files.ServerCredentials(c.TLSClientCA != ""); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// openAuthority opens or makes the server's own authority and says how agents come
// to trust it.
func openAuthority(c *Config, logger *slog.Logger) (*ownca.Authority, error) {
	a, err := ownca.Open(ownca.Config{
		Dir: filepath.Join(c.DataDir, "tls"), Logger: logger,
		Names: func() []string { return append(c.listenNames(), ownca.LocalNames()...) },
	})
	if err != nil {
		return nil, fmt.Errorf("%w; or give a certificate with -tls-cert and -tls-key", err)
	}
	ca := a.CAFile()
	if whole, err := filepath.Abs(ca); err == nil {
		ca = whole
	}
	logger.Info("TLS with a certificate of this server's own authority: copy the authority's file to the agents and give it to them with -tls-ca",
		"ca", ca, "sha256", a.Fingerprint())
	return a, nil
}

// listenNames returns -tls-names and the hosts of the addresses.
func (c *Config) listenNames() []string {
	names := c.tlsNames()
	for _, address := range []string{c.HTTPAddress, c.GRPCAddress} {
		host, _, err := net.SplitHostPort(address)
		if ip := net.ParseIP(host); err == nil && host != "" && (ip == nil || !ip.IsUnspecified()) {
			names = append(names, host)
		}
	}
	return names
}

// run renews what the server made itself, until the context ends.
func (s *security) run(ctx context.Context) {
	if s.authority != nil {
		s.authority.Run(ctx)
	}
}
