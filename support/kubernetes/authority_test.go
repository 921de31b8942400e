// SPDX-License-Identifier: Apache-2.0

//go:build apiserver

package kubernetes

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority is that of a cluster: it signs the certificates of the API server and of
// the kubelet, and service accounts get it as ca.crt.
type authority struct {
	dir string
	// file has its certificate, key its key, which signs the tokens of service accounts, too.
	file, key string
	cert      *x509.Certificate
	signer    *rsa.PrivateKey
}

// newAuthority makes one in a folder.
func newAuthority(t *testing.T, dir string) *authority {
	t.Helper()
	signer, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{dir: dir, signer: signer}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "of this test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	a.file, a.key = a.write(t, "ca", a.cert, signer)
	return a
}

// issue makes a certificate for a name, in a group ("" for none), for servers at addresses
// and for clients; it returns the files of the certificate and of its key.
func (a *authority) issue(t *testing.T, name, group string, addresses ...string) (cert, key string) {
	t.Helper()
	own, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if group != "" {
		c.Subject.Organization = []string{group}
	}
	for _, address := range addresses {
		c.IPAddresses = append(c.IPAddresses, net.ParseIP(address))
	}
	return a.write(t, name, c, own)
}

func (a *authority) write(t *testing.T, name string, c *x509.Certificate, own *rsa.PrivateKey) (cert, key string) {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &own.PublicKey, a.signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(a.dir, name+".crt"), filepath.Join(a.dir, name+".key")
	for path, block := range map[string]*pem.Block{
		cert: {Type: "CERTIFICATE", Bytes: der},
		key:  {Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(own)},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// client trusts the authority alone.
func (a *authority) client() *http.Client {
	roots := x509.NewCertPool()
	if b, err := os.ReadFile(a.file); err == nil {
		roots.AppendCertsFromPEM(b)
	}
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
}
