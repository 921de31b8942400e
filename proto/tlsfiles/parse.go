// SPDX-License-Identifier: Apache-2.0

package tlsfiles

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"
)

// maxFileBytes is the largest file that is read. The bundle of all public
// authorities has a quarter of it.
const maxFileBytes = 1 << 20

// material is what a unit of files holds.
type material struct {
	pair *tls.Certificate // of a certificate and its key
	pool *x509.CertPool   // of authorities
	// subject, notBefore and notAfter are the certificate's. Of authorities, notAfter
	// is the time from which none is valid any more.
	subject             string
	notBefore, notAfter time.Time
	// skipped counts certificates of authorities that could not be understood.
	skipped int
}

// blocks returns the PEM blocks of a file. A block that begins and does not end is
// an error: the file is probably being written.
func blocks(data []byte) ([]*pem.Block, error) {
	begin := []byte("-----BEGIN ")
	begun := bytes.Count(data, append([]byte("\n"), begin...))
	if bytes.HasPrefix(data, begin) {
		begun++
	}
	var all []*pem.Block
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		all, data = append(all, block), rest
	}
	if len(all) < begun {
		return nil, fmt.Errorf("%d of %d PEM blocks are cut off or damaged", begun-len(all), begun)
	}
	return all, nil
}

// isKey reports whether a PEM block is a private key.
func isKey(b *pem.Block) bool { return strings.HasSuffix(b.Type, "PRIVATE KEY") }

// certificates returns the certificates of a file as they are encoded, at least one.
func certificates(data []byte) ([][]byte, error) {
	all, err := blocks(data)
	if err != nil {
		return nil, err
	}
	var ders [][]byte
	keys := 0
	for _, b := range all {
		switch {
		case b.Type == "CERTIFICATE":
			ders = append(ders, b.Bytes)
		case isKey(b):
			keys++
		}
	}
	switch {
	case len(ders) > 0:
		return ders, nil
	case keys > 0:
		return nil, errors.New("holds a key and no certificate: are certificate and key exchanged?")
	case len(bytes.TrimSpace(data)) == 0:
		return nil, errors.New("is empty")
	}
	return nil, errors.New("holds no PEM certificate, which begins with -----BEGIN CERTIFICATE-----")
}

// parseAuthorities reads a file of authorities.
func parseAuthorities(data []byte) (*material, error) {
	ders, err := certificates(data)
	if err != nil {
		return nil, err
	}
	m := &material{pool: x509.NewCertPool()}
	var first error
	for i, der := range ders {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			// Bundles of systems hold a few that this library does not take.
			if m.skipped++; first == nil {
				first = fmt.Errorf("certificate %d: %w", i+1, err)
			}
			continue
		}
		m.pool.AddCert(cert)
		if cert.NotAfter.After(m.notAfter) {
			m.notAfter, m.subject = cert.NotAfter, cert.Subject.String()
		}
	}
	if m.skipped == len(ders) {
		return nil, first
	}
	return m, nil
}

// fileError is an error that is about one of the two files of a pair.
type fileError struct {
	key bool // the key's file
	err error
}

func (e *fileError) Error() string { return e.err.Error() }
func (e *fileError) Unwrap() error { return e.err }

// parsePair reads a certificate, with its intermediates, and its key. All errors
// are a *fileError.
func parsePair(cert, key []byte) (*material, error) {
	ders, err := certificates(cert)
	if err != nil {
		return nil, &fileError{err: err}
	}
	var leaf *x509.Certificate
	for i, der := range ders {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, &fileError{err: fmt.Errorf("certificate %d: %w", i+1, err)}
		}
		if i == 0 {
			leaf = c
		}
	}
	if err := checkKey(key); err != nil {
		return nil, &fileError{key: true, err: err}
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		if strings.Contains(err.Error(), "does not match") {
			err = fmt.Errorf("the key is not the one of the certificate for %s: the files belong to different certificates, "+
				"or only one is replaced yet", leaf.Subject)
		}
		return nil, &fileError{key: true, err: err}
	}
	return &material{pair: &pair, subject: leaf.Subject.String(), notBefore: leaf.NotBefore, notAfter: leaf.NotAfter}, nil
}

// checkKey says in clear words why a file is not that of a key.
func checkKey(data []byte) error {
	all, err := blocks(data)
	if err != nil {
		return err
	}
	for _, b := range all {
		if !isKey(b) {
			continue
		}
		if b.Type == "ENCRYPTED PRIVATE KEY" || b.Headers["DEK-Info"] != "" {
			return errors.New("the key is encrypted, and nobody is asked for its passphrase: store it unencrypted, readable only by this program's user")
		}
		return nil
	}
	switch {
	case len(all) > 0:
		return errors.New("holds a certificate and no key: are certificate and key exchanged?")
	case len(bytes.TrimSpace(data)) == 0:
		return errors.New("is empty")
	}
	return errors.New("holds no PEM key, which begins with -----BEGIN PRIVATE KEY-----")
}
