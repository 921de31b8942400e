// SPDX-License-Identifier: Apache-2.0

// Package ownca makes the certificate of a server that was given none: a small
// authority, made once and kept, and a certificate from it for the names of the
// machine, which is renewed before it expires and when names are added. Clients
// need the authority's certificate once, and nothing of the renewals.
//
// In production, bring your own certificates: the key of this authority lies
// beside the server that uses it.
package ownca

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Lifetimes of certificates.
const (
	authorityLife = 10 * 365 * 24 * time.Hour
	serverLife    = 90 * 24 * time.Hour
	// renewBefore leaves a month to notice that renewing does not work.
	renewBefore = serverLife / 3
	// authorityWarning leaves a year to hand out another authority.
	authorityWarning = 365 * 24 * time.Hour
	// backdate is how far behind the clocks of clients may be.
	backdate = 24 * time.Hour
	// renewInterval is how often Run looks.
	renewInterval = time.Hour
)

// Config says what to make, and where to keep it.
type Config struct {
	// Dir is the directory for all files, made with mode 0700.
	Dir string
	// Names returns the host names and IP addresses that the server is reached by. It
	// is asked again with every look. Default: those of [LocalNames].
	Names func() []string
	// Logger receives what is made. Default: discard.
	Logger *slog.Logger
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Authority is an authority on disk, and its server's certificate. It is not safe
// for concurrent use.
type Authority struct {
	config Config
	cert   *x509.Certificate
	key    crypto.Signer
}

// CAFile is the certificate of the authority, for clients to trust.
func (a *Authority) CAFile() string { return filepath.Join(a.config.Dir, "ca.pem") }

func (a *Authority) caKeyFile() string { return filepath.Join(a.config.Dir, "ca.key") }

// ServerFile holds the server's certificate and its key. They are in one file, so
// that a renewal replaces both in one moment.
func (a *Authority) ServerFile() string { return filepath.Join(a.config.Dir, "server.pem") }

// Fingerprint is the SHA-256 of the authority's certificate, as openssl prints it.
func (a *Authority) Fingerprint() string {
	sum := sha256.Sum256(a.cert.Raw)
	pairs := make([]string, len(sum))
	for i, b := range sum {
		pairs[i] = strings.ToUpper(hex.EncodeToString([]byte{b}))
	}
	return strings.Join(pairs, ":")
}

// Open opens the authority in a directory, or makes one, and makes or renews the
// server's certificate if that is due.
func Open(c Config) (*Authority, error) {
	if c.Names == nil {
		c.Names = LocalNames
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	a := &Authority{config: c}
	if err := a.open(); err != nil {
		return nil, fmt.Errorf("own certificate authority: %w", err)
	}
	return a, nil
}

func (a *Authority) open() error {
	if err := os.MkdirAll(filepath.Dir(a.config.Dir), 0o750); err != nil {
		return fmt.Errorf("create directory: %w", err)
	}
	if err := os.Mkdir(a.config.Dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("create directory: %w", err)
	}
	if err := keepPrivate(a.config.Dir, 0o700); err != nil {
		return err
	}
	if err := a.makeMissing(); err != nil {
		return err
	}
	if err := keepPrivate(a.caKeyFile(), 0o600); err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(a.CAFile(), a.caKeyFile())
	if err != nil {
		return fmt.Errorf("read %s and %s: %w", a.CAFile(), a.caKeyFile(), err)
	}
	signer, ok := pair.PrivateKey.(crypto.Signer)
	if !ok || !pair.Leaf.IsCA {
		return fmt.Errorf("%s is not the certificate of an authority: %s", a.CAFile(), a.startAnew())
	}
	a.cert, a.key = pair.Leaf, signer
	switch left := a.cert.NotAfter.Sub(a.config.Now()); {
	case left <= 0:
		return fmt.Errorf("%s expired on %s: %s", a.CAFile(), a.cert.NotAfter.UTC().Format(time.DateTime), a.startAnew())
	case left < authorityWarning:
		a.config.Logger.Warn("the certificate authority expires within a year", "ca", a.CAFile(), "expires", a.cert.NotAfter.UTC(),
			"advice", a.startAnew())
	}
	_, err = a.Renew()
	return err
}

func (a *Authority) startAnew() string {
	return fmt.Sprintf("move %s away for a new authority, whose ca.pem every agent needs in place of the old one", a.config.Dir)
}

// makeMissing makes the authority's files. The key comes first: a certificate
// without its key means that somebody took the key away, and nothing is replaced.
func (a *Authority) makeMissing() error {
	_, certErr := os.Stat(a.CAFile())
	_, keyErr := os.Stat(a.caKeyFile())
	if certErr == nil && errors.Is(keyErr, fs.ErrNotExist) {
		return fmt.Errorf("%s is there and %s is missing: bring it back, or %s", a.CAFile(), a.caKeyFile(), a.startAnew())
	}
	if errors.Is(keyErr, fs.ErrNotExist) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return fmt.Errorf("generate key: %w", err)
		}
		block, err := keyPEM(key)
		if err != nil {
			return err
		}
		if err := create(a.caKeyFile(), block); err != nil {
			return err
		}
	}
	if !errors.Is(certErr, fs.ErrNotExist) {
		return nil
	}
	// Read back: another process may have been faster.
	data, err := os.ReadFile(a.caKeyFile())
	if err != nil {
		return fmt.Errorf("read key: %w", err)
	}
	key, err := parseKey(data)
	if err != nil {
		return fmt.Errorf("read key: %s: %w", a.caKeyFile(), err)
	}
	now := a.config.Now()
	host, _ := os.Hostname() // only to tell authorities apart
	serial, err := serialNumber()
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{Organization: []string{"Strobe"}, CommonName: clip("Strobe collection agent authority of " + cmp.Or(host, "a host"))},
		NotBefore:    now.Add(-backdate), NotAfter: now.Add(authorityLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return fmt.Errorf("make certificate of the authority: %w", err)
	}
	return create(a.CAFile(), certPEM(der))
}

// Run renews the certificate when it is due, until the context ends.
func (a *Authority) Run(ctx context.Context) {
	ticker := time.NewTicker(renewInterval)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		_, err := a.Renew()
		if err != nil && !failing {
			a.config.Logger.Error("the server's certificate cannot be renewed", "err", err)
		}
		failing = err != nil
	}
}

// Renew makes a new certificate for the server if that is due, and reports whether
// it was.
func (a *Authority) Renew() (bool, error) {
	names := normalize(a.config.Names())
	why := a.due(names)
	if why == "" {
		return false, nil
	}
	now := a.config.Now()
	notAfter := now.Add(serverLife)
	if notAfter.After(a.cert.NotAfter) {
		notAfter = a.cert.NotAfter
	}
	serial, err := serialNumber()
	if err != nil {
		return false, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{Organization: []string{"Strobe"}, CommonName: clip(names[0])},
		NotBefore:    now.Add(-backdate), NotAfter: notAfter,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return false, fmt.Errorf("generate key: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return false, fmt.Errorf("make certificate of the server: %w", err)
	}
	block, err := keyPEM(key)
	if err != nil {
		return false, err
	}
	if err := replace(a.ServerFile(), append(certPEM(der), block...)); err != nil {
		return false, err
	}
	a.config.Logger.Info("made a certificate for this server", "file", a.ServerFile(), "because", why,
		"names", strings.Join(names, " "), "expires", notAfter.UTC())
	return true, nil
}

// due says why a new certificate is needed, "" if it is not.
func (a *Authority) due(names []string) string {
	if err := keepPrivate(a.ServerFile(), 0o600); errors.Is(err, fs.ErrNotExist) {
		return "there was none"
	}
	pair, err := tls.LoadX509KeyPair(a.ServerFile(), a.ServerFile())
	if err != nil {
		return "the file cannot be used: " + err.Error()
	}
	cert, now := pair.Leaf, a.config.Now()
	switch {
	case cert.CheckSignatureFrom(a.cert) != nil:
		return "it came from another authority"
	case !now.Before(cert.NotAfter.Add(-renewBefore)) && cert.NotAfter.Before(a.cert.NotAfter):
		return "it expires on " + cert.NotAfter.UTC().Format(time.DateTime)
	case now.Before(cert.NotBefore):
		return "it was made in the future"
	}
	for _, name := range names {
		if cert.VerifyHostname(name) != nil {
			return "it does not have the name " + name
		}
	}
	return ""
}

// serialNumber returns a random serial number.
func serialNumber() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	return n.Add(n, big.NewInt(1)), nil
}

// clip cuts a common name to the 64 characters that X.509 allows.
func clip(name string) string { return name[:min(len(name), 64)] }

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func keyPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func parseKey(data []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(bytes.TrimSpace(data))
	if block == nil {
		return nil, errors.New("holds no PEM key")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a %T cannot sign", key)
	}
	return signer, nil
}

// normalize returns the names in one form, each once, in the order given.
func normalize(names []string) []string {
	var out []string
	for _, name := range names {
		name = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(name)), ".")
		if ip := net.ParseIP(name); ip != nil {
			name = ip.String()
		} else if !ValidName(name) {
			continue
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		out = []string{"localhost"}
	}
	return out
}
