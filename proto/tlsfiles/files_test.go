// SPDX-License-Identifier: Apache-2.0

package tlsfiles_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strobe-profiler/strobe/proto/tlsfiles"
	"github.com/strobe-profiler/strobe/proto/tlsfiles/tlstest"
	"github.com/strobe-profiler/strobe/support/program"
)

// lines is a log that counts.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// take returns what was logged since the last time.
func (l *lines) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.b.Reset()
	return l.b.String()
}

// metrics returns the values of the metrics by name and labels.
func metrics(t *testing.T, f *tlsfiles.Files) map[string]float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(f)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			key := family.GetName()
			for _, label := range m.GetLabel() {
				key += " " + label.GetValue()
			}
			out[key] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return out
}

func TestOpenErrors(t *testing.T) {
	t.Parallel()
	ca := tlstest.New(t, "ca")
	cert, key := ca.IssueFiles(tlstest.Leaf{})
	_, otherKey := ca.IssueFiles(tlstest.Leaf{})
	certPEM, keyPEM := ca.Issue(tlstest.Leaf{})
	file := func(content string) string {
		return tlstest.Write(t, t.TempDir(), "file.pem", []byte(content))
	}
	writable := file(string(keyPEM))
	if err := os.Chmod(writable, 0o666); err != nil { //nolint:gosec // the point of the test
		t.Fatal(err)
	}
	f := func(o tlsfiles.Options, want ...string) {
		t.Helper()
		files, err := tlsfiles.Open(o)
		if err == nil || files != nil {
			t.Errorf("%+v: no error, want %q", o, want)
			return
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("error %q does not say %q", err, w)
			}
		}
	}
	pair := func(cert, key string) tlsfiles.Options { return tlsfiles.Options{CertFile: cert, KeyFile: key} }
	f(pair(cert, ""), "go together")
	f(pair("", key), "go together")
	f(pair("/does/not/exist", key), "-tls-cert: /does/not/exist: no such file")
	f(pair(cert, "/does/not/exist"), "-tls-key: /does/not/exist: no such file")
	f(tlsfiles.Options{CertFile: "/not/c", KeyFile: key, CAFile: "/not/ca"}, "-tls-cert: /not/c", "-tls-ca: /not/ca")
	f(tlsfiles.Options{CAFile: "/not/ca", CAFlag: "-tls-client-ca"}, "-tls-client-ca: /not/ca")
	f(pair(cert, otherKey), "-tls-key: "+otherKey, "the key is not the one of the certificate for CN=leaf of ca")
	f(pair(key, cert), "-tls-cert: "+key, "holds a key and no certificate: are certificate and key exchanged?")
	f(pair(cert, cert), "-tls-key: "+cert, "holds a certificate and no key: are certificate and key exchanged?")
	f(pair(cert, file("")), "is empty")
	f(pair(file(" \n"), key), "is empty")
	f(pair(file("\x30\x82\x01\x0a"), key), "holds no PEM certificate, which begins with -----BEGIN CERTIFICATE-----")
	f(pair(cert, file("secret")), "holds no PEM key, which begins with -----BEGIN PRIVATE KEY-----")
	f(pair(file(string(certPEM[:len(certPEM)/2])), key), "1 of 1 PEM blocks are cut off or damaged")
	f(pair(cert, file(string(keyPEM[:len(keyPEM)-10]))), "-tls-key", "1 of 1 PEM blocks are cut off")
	f(pair(cert, file(strings.ReplaceAll(string(keyPEM), "PRIVATE", "ENCRYPTED PRIVATE"))), "is encrypted")
	f(pair(cert, file("-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----\n")), "is encrypted")
	f(pair(cert, writable), writable+" can be written by every user", "chmod o-w")
	f(pair(cert, t.TempDir()), "is not a file")
	f(pair(cert, os.DevNull), "is not a file")
	f(pair(file(strings.Repeat("x", 2<<20)), key), "has 2097152 bytes, at most 1048576 are read")
	f(tlsfiles.Options{CAFile: file("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")}, "certificate 1: x509")
	f(tlsfiles.Options{CAFile: file(string(ca.PEM) + string(certPEM[:100]))}, "1 of 2 PEM blocks are cut off")

	files, err := tlsfiles.Open(tlsfiles.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := files.ServerConfig(false); err == nil || !strings.Contains(err.Error(), "needs a certificate") {
		t.Errorf("server without a certificate: %v", err)
	}
	files, err = tlsfiles.Open(pair(cert, key))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := files.ServerCredentials(true); err == nil || !strings.Contains(err.Error(), "without -tls-ca") {
		t.Errorf("certificates of clients without authorities: %v", err)
	}
}

// TestRemarks opens files that work and deserve a word.
func TestRemarks(t *testing.T) {
	t.Parallel()
	ca := tlstest.New(t, "ca")
	f := func(l tlstest.Leaf, mode os.FileMode, extra string, want ...string) {
		t.Helper()
		cert, key := ca.IssueFiles(l)
		if err := os.Chmod(key, mode); err != nil {
			t.Fatal(err)
		}
		var log lines
		bundle := tlstest.Write(t, t.TempDir(), "ca.pem", append(ca.Bundle(), extra...))
		open(t, tlsfiles.Options{CertFile: cert, KeyFile: key, CAFile: bundle, Logger: log.logger()})
		text := log.take()
		if n := strings.Count(text, "\n"); n != len(want) {
			t.Errorf("%d lines, want %d: %s", n, len(want), text)
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("log %q does not say %q", text, w)
			}
		}
	}
	f(tlstest.Leaf{}, 0o600, "")
	f(tlstest.Leaf{}, 0o400, "")
	f(tlstest.Leaf{}, 0o644, "", "others than the owner may read the key")
	f(tlstest.Leaf{}, 0o640, "", "0640 with a group")
	f(tlstest.Leaf{NotAfter: time.Now().Add(-time.Minute)}, 0o600, "", "expired on")
	f(tlstest.Leaf{NotBefore: time.Now().Add(time.Minute)}, 0o600, "", "is not valid before")
	f(tlstest.Leaf{}, 0o600, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be understood")
}

// TestReload replaces files in the ways that happen, and breaks them.
func TestReload(t *testing.T) {
	t.Parallel()
	ca := tlstest.New(t, "ca")
	dir := t.TempDir()
	write := func(name string, content []byte) { tlstest.Write(t, dir, name, content) }
	inPlace := func(name string, content []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ends := time.Now().Add(time.Hour).Truncate(time.Second)
	issue := func() (cert, key []byte) { // each a minute longer, to be told apart
		ends = ends.Add(time.Minute)
		return ca.Issue(tlstest.Leaf{NotAfter: ends})
	}
	cert, key := issue()
	write("cert.pem", cert)
	write("key.pem", key)
	var log lines
	files := open(t, tlsfiles.Options{
		CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem"),
		CheckInterval: -1, MetricsPrefix: "x", Logger: log.logger(),
	})
	inForce, changed, failed := ends, 0.0, 0.0
	// check wants so many changes and failures in total, and lines since the last time.
	check := func(what string, wantLines ...string) {
		t.Helper()
		m := metrics(t, files)
		if m["x_tls_certificate_expiry_seconds certificate"] != float64(inForce.Unix()) {
			t.Errorf("%s: another certificate is in force", what)
		}
		if m["x_tls_reloads_total certificate changed"] != changed || m["x_tls_reloads_total certificate failed"] != failed {
			t.Errorf("%s: %v, want %v changed and %v failed", what, m, changed, failed)
		}
		text := log.take()
		if strings.Count(text, "\n") != len(wantLines) {
			t.Errorf("%s: log %q, want %q", what, text, wantLines)
		}
		for _, w := range wantLines {
			if !strings.Contains(text, w) {
				t.Errorf("%s: log %q does not say %q", what, text, w)
			}
		}
	}
	check("start")
	inPlace("cert.pem", cert)
	check("written again, the same")

	cert, key = issue()
	write("cert.pem", cert)
	failed++
	check("only the certificate is replaced", "keeping what was read before")
	check("still only the certificate") // is no other failure
	write("key.pem", key)
	inForce, changed = ends, changed+1
	check("the key follows", "read again")

	good := cert
	for _, half := range []int{len(cert) / 2, len(cert) - 1, 27, 1, 0} {
		inPlace("cert.pem", cert[:half])
		if half == len(cert)-1 {
			continue // only the last line break is missing
		}
		failed++
		if half == len(cert)/2 {
			check("half written", "cut off")
		} else {
			check("half written")
		}
		if half == 27 {
			inPlace("cert.pem", good)
			check("whole again, as before", "can be used again")
			inPlace("cert.pem", nil)
			failed++
			check("truncated", "is empty")
		}
	}
	if err := os.Remove(filepath.Join(dir, "key.pem")); err != nil {
		t.Fatal(err)
	}
	failed++
	check("key removed")
	cert, key = issue()
	inPlace("cert.pem", cert)
	inPlace("key.pem", key)
	inForce, changed = ends, changed+1
	check("new ones in place", "read again")

	// At the same size, at the same time by the file system's clock: a new certificate
	// may be as long as the old one.
	stamp := time.Now()
	cert, key = issue()
	inPlace("cert.pem", cert)
	inPlace("key.pem", key)
	for _, name := range []string{"cert.pem", "key.pem"} {
		if err := os.Chtimes(filepath.Join(dir, name), stamp, stamp); err != nil {
			t.Fatal(err)
		}
	}
	inForce, changed = ends, changed+1
	check("times of now", "read again")
	cert, key = issue()
	inPlace("cert.pem", cert)
	inPlace("key.pem", key)
	for _, name := range []string{"cert.pem", "key.pem"} {
		if err := os.Chtimes(filepath.Join(dir, name), stamp, stamp); err != nil {
			t.Fatal(err)
		}
	}
	inForce, changed = ends, changed+1
	check("the same times once more", "read again")

	oldCert, oldKey := ca.Issue(tlstest.Leaf{NotAfter: time.Now().Add(-time.Minute)})
	write("cert.pem", oldCert)
	write("key.pem", oldKey)
	failed++
	check("one that has expired", "expired on")
}

// TestSymlinkSwap replaces a directory behind a link, as Kubernetes does.
func TestSymlinkSwap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, second := tlstest.New(t, "first"), tlstest.New(t, "second")
	stamp := time.Now().Add(-time.Hour)
	for name, ca := range map[string]*tlstest.Authority{"..1": first, "..2": second} {
		version := filepath.Join(dir, name)
		if err := os.Mkdir(version, 0o700); err != nil {
			t.Fatal(err)
		}
		cert, key := ca.Issue(tlstest.Leaf{})
		for file, content := range map[string][]byte{"tls.crt": cert, "tls.key": key, "ca.crt": ca.PEM} {
			if err := os.Chtimes(tlstest.Write(t, version, file, content), stamp, stamp); err != nil {
				t.Fatal(err)
			}
		}
	}
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(dir, name+".new")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, name+".new"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("..1", "..data")
	for _, file := range []string{"tls.crt", "tls.key", "ca.crt"} {
		link("..data/"+file, file)
	}
	o := tlsfiles.Options{
		CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key"), CAFile: filepath.Join(dir, "ca.crt"),
		CheckInterval: -1,
	}
	files := open(t, o)
	creds, err := files.ServerCredentials(true)
	if err != nil {
		t.Fatal(err)
	}
	address := serve(t, creds)
	clientOf := func(ca *tlstest.Authority) error {
		cert, key := ca.IssueFiles(tlstest.Leaf{})
		return call(address, open(t, tlsfiles.Options{CertFile: cert, KeyFile: key, CAFile: ca.File()}).ClientCredentials(nil))
	}
	same := files.ClientCredentials(nil)
	if err := clientOf(first); err != nil {
		t.Error(err)
	}
	link("..2", "..data")
	if err := clientOf(second); err != nil {
		t.Errorf("after the swap: %v", err)
	}
	if err := clientOf(first); err == nil {
		t.Error("after the swap the old authority counts")
	}
	if err := call(address, same); err != nil {
		t.Errorf("client with the same files: %v", err)
	}
	// The client is through with a handshake before the server has counted that it failed.
	program.Eventually(t, 2*time.Minute, "count of a failed handshake", func(context.Context) bool {
		return metrics(t, files)["strobe_tls_failed_handshakes_total"] > 0
	})
	if m := metrics(t, files); m["strobe_tls_reloads_total certificate changed"] != 1 || m["strobe_tls_reloads_total authorities changed"] != 1 {
		t.Errorf("metrics %v", m)
	}
}

// TestCheckInterval looks at the files no more often than told, except after a
// failure, and also when the clock is set back.
func TestCheckInterval(t *testing.T) {
	t.Parallel()
	ca := tlstest.New(t, "ca")
	dir := t.TempDir()
	replace := func() {
		cert, key := ca.Issue(tlstest.Leaf{})
		tlstest.Write(t, dir, "pair.pem", append(cert, key...))
	}
	replace()
	now := time.Now()
	pair := filepath.Join(dir, "pair.pem")
	files := open(t, tlsfiles.Options{CertFile: pair, KeyFile: pair, CheckInterval: 3 * time.Second, Now: func() time.Time { return now }})
	f := func(advance time.Duration, want float64) {
		t.Helper()
		replace()
		now = now.Add(advance)
		if got := metrics(t, files)["strobe_tls_reloads_total certificate changed"]; got != want {
			t.Errorf("%v reloads, want %v", got, want)
		}
	}
	f(0, 0)
	f(2*time.Second, 0)
	f(time.Second, 1)
	f(time.Second, 1)
	f(-time.Minute, 2)
	f(time.Second, 2)
	_ = call("127.0.0.1:0", files.ClientCredentials(nil)) // never gets to a handshake
	f(0, 2)
	if err := call(serve(t, tlsfiles.Plaintext()), files.ClientCredentials(nil)); err == nil {
		t.Error("TLS with a server that has none")
	}
	f(0, 3)
}
