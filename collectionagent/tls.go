// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// tlsConfig returns the TLS settings of both addresses, nil without TLS.
func tlsConfig(c *Config, logger *slog.Logger) (*tls.Config, error) {
	if c.TLSCert == "" {
		return nil, nil
	}
	k := &keyPair{cert: c.TLSCert, key: c.TLSKey, logger: logger}
	if err := k.load(); err != nil {
		return nil, err
	}
	t := &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: k.get}
	if c.TLSClientCA != "" {
		pem, err := os.ReadFile(c.TLSClientCA)
		if err != nil {
			return nil, fmt.Errorf("read authorities of clients: %w", err)
		}
		t.ClientCAs = x509.NewCertPool()
		if !t.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read authorities of clients: no certificate in %s", c.TLSClientCA)
		}
		t.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return t, nil
}

// keyPair is a certificate that is read again when its files change, so that a
// renewed one is used without a restart.
type keyPair struct {
	cert, key string
	logger    *slog.Logger

	mu      sync.Mutex
	pair    *tls.Certificate
	stamp   [2]time.Time // modification times of the files that pair came from
	checked time.Time
}

// recheck is how often the files are looked at.
const recheck = 10 * time.Second

// stat returns when the files were last changed.
func (k *keyPair) stat() (stamp [2]time.Time, err error) {
	cert, err1 := os.Stat(k.cert)
	key, err2 := os.Stat(k.key)
	if err := errors.Join(err1, err2); err != nil {
		return stamp, fmt.Errorf("read certificate: %w", err)
	}
	return [2]time.Time{cert.ModTime(), key.ModTime()}, nil
}

// load reads the files if they changed. The lock is held, or not needed yet.
func (k *keyPair) load() error {
	k.checked = time.Now()
	stamp, err := k.stat()
	if err != nil {
		return err
	}
	if k.pair != nil && stamp == k.stamp {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(k.cert, k.key)
	if err != nil {
		return fmt.Errorf("read certificate: %w", err)
	}
	k.pair, k.stamp = &pair, stamp
	return nil
}

// get returns the certificate for a connection.
func (k *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.checked) >= recheck {
		if err := k.load(); err != nil {
			k.logger.Warn("using the certificate of before", "err", err) // perhaps it is just being replaced
		}
	}
	return k.pair, nil
}
