// SPDX-License-Identifier: Apache-2.0

// Package tlstest makes real certificates for tests.
package tlstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority issues certificates.
type Authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	// PEM is the authority's certificate.
	PEM []byte
}

// Leaf describes a certificate. The zero value is good: for localhost and
// 127.0.0.1, valid for an hour, for servers and clients.
type Leaf struct {
	Names               []string
	NotBefore, NotAfter time.Time
	Usage               []x509.ExtKeyUsage
}

// New returns an authority that signs for itself.
func New(t testing.TB, name string) *Authority {
	t.Helper()
	a := &Authority{t: t}
	template := a.authority(name)
	a.key = a.newKey()
	a.cert, a.PEM = a.sign(template, template, &a.key.PublicKey, a.key)
	return a
}

// Intermediate returns an authority that this one signs for.
func (a *Authority) Intermediate(name string) *Authority {
	a.t.Helper()
	b := &Authority{t: a.t}
	b.key = b.newKey()
	b.cert, b.PEM = a.sign(a.authority(name), a.cert, &b.key.PublicKey, a.key)
	return b
}

func (a *Authority) authority(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: a.serial(), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
}

func (a *Authority) newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	return key
}

func (a *Authority) serial() *big.Int {
	n, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		a.t.Fatal(err)
	}
	return n
}

func (a *Authority) sign(template, parent *x509.Certificate, public *ecdsa.PublicKey, signer *ecdsa.PrivateKey) (*x509.Certificate, []byte) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// Issue returns a certificate and its key, both PEM.
func (a *Authority) Issue(l Leaf) (certPEM, keyPEM []byte) {
	a.t.Helper()
	if l.Names == nil {
		l.Names = []string{"localhost", "127.0.0.1"}
	}
	if l.NotBefore.IsZero() {
		l.NotBefore = time.Now().Add(-2 * time.Hour)
	}
	if l.NotAfter.IsZero() {
		l.NotAfter = time.Now().Add(time.Hour)
	}
	if l.Usage == nil {
		l.Usage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	template := &x509.Certificate{
		SerialNumber: a.serial(), Subject: pkix.Name{CommonName: "leaf of " + a.cert.Subject.CommonName},
		NotBefore: l.NotBefore, NotAfter: l.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: l.Usage,
	}
	for _, name := range l.Names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	key := a.newKey()
	_, certPEM = a.sign(template, a.cert, &key.PublicKey, a.key)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return certPEM, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// IssueFiles writes a certificate and its key into a directory of the test and
// returns their paths.
func (a *Authority) IssueFiles(l Leaf) (certFile, keyFile string) {
	a.t.Helper()
	cert, key := a.Issue(l)
	dir := a.t.TempDir()
	return Write(a.t, dir, "cert.pem", cert), Write(a.t, dir, "key.pem", key)
}

// File writes the authority's certificate, and those of others, into a file of the
// test and returns its path.
func (a *Authority) File(others ...*Authority) string {
	a.t.Helper()
	return Write(a.t, a.t.TempDir(), "ca.pem", a.Bundle(others...))
}

// Bundle returns the authority's certificate and those of others.
func (a *Authority) Bundle(others ...*Authority) []byte {
	all := append([]byte(nil), a.PEM...)
	for _, o := range others {
		all = append(all, o.PEM...)
	}
	return all
}

// Write replaces a file as a whole, with mode 0600, and returns its path.
func Write(t testing.TB, dir, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	return path
}
