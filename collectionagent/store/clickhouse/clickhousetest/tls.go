// SPDX-License-Identifier: Apache-2.0

package clickhousetest

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

// StartLegacyTLS starts a server of Debian's version that also speaks TLS, on the
// address that is returned, with a certificate for 127.0.0.1 by the authority whose
// certificate is returned as PEM.
func StartLegacyTLS(t testing.TB) (s *Server, secure string, authority []byte) {
	t.Helper()
	dir := t.TempDir()
	c := &legacyConfig{
		Dir: dir, HTTP: portOf(freeAddress(t)), TCP: portOf(freeAddress(t)), Inter: portOf(freeAddress(t)), Secure: portOf(freeAddress(t)),
		Certificate: filepath.Join(dir, "server.crt"), Key: filepath.Join(dir, "server.key"),
	}
	certificate, key, authority := certify(t)
	for path, content := range map[string][]byte{c.Certificate: certificate, c.Key: key} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatalf("write a certificate: %v", err)
		}
	}
	s = newLegacy(t, "the server with TLS", c)
	s.Start()
	return s, "127.0.0.1:" + c.Secure, authority
}

// certify makes an authority and a certificate for 127.0.0.1 by it, all as PEM.
func certify(t testing.TB) (certificate, key, authority []byte) {
	t.Helper()
	fail := func(err error) {
		if err != nil {
			t.Fatalf("make a certificate: %v", err)
		}
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	fail(err)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of the tests"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	fail(err)
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	fail(err)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "clickhouse"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &own.PublicKey, caKey)
	fail(err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(own)
	fail(err)
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	return block("CERTIFICATE", der), block("PRIVATE KEY", keyDER), block("CERTIFICATE", caDER)
}
