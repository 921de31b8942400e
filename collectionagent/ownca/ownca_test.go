// SPDX-License-Identifier: Apache-2.0

package ownca

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// server reads the server's certificate and verifies it for names, as a client does.
func server(t *testing.T, a *Authority, now time.Time, names ...string) *x509.Certificate {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(a.ServerFile(), a.ServerFile())
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(a.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	for _, name := range names {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: now}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	return pair.Leaf
}

func mustOpen(t *testing.T, c Config) *Authority {
	t.Helper()
	a, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func names(list ...string) func() []string { return func() []string { return list } }

func TestLife(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data", "tls")
	now := time.Now()
	config := Config{Dir: dir, Names: names("Host.Example.", "10.1.2.3", "localhost", "host.example", "bad name"), Now: func() time.Time { return now }}
	a := mustOpen(t, config)
	first := server(t, a, now, "host.example", "10.1.2.3", "localhost")
	if len(first.DNSNames) != 2 || len(first.IPAddresses) != 1 || first.IsCA {
		t.Errorf("certificate for %v %v", first.DNSNames, first.IPAddresses)
	}
	err := filepath.WalkDir(filepath.Dir(dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && path != filepath.Dir(dir) && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		if strings.HasPrefix(d.Name(), ".new") {
			t.Errorf("%s is left over", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	fingerprint := a.Fingerprint()
	if len(fingerprint) != 32*3-1 {
		t.Errorf("fingerprint %q", fingerprint)
	}

	// f opens again and wants the authority to stay, and the certificate to or not.
	f := func(what string, list []string, stays bool) {
		t.Helper()
		before := server(t, a, now)
		config.Names = names(list...)
		a = mustOpen(t, config)
		after := server(t, a, now, list...)
		if before.Equal(after) != stays {
			t.Errorf("%s: certificate stays: %v, want %v", what, !stays, stays)
		}
		if a.Fingerprint() != fingerprint {
			t.Errorf("%s: another authority", what)
		}
	}
	f("restart", []string{"host.example", "10.1.2.3"}, true)
	f("name gone", []string{"host.example"}, true)
	f("name added", []string{"host.example", "fd00::1", "new.example"}, false)
	now = now.Add(serverLife - renewBefore - time.Hour)
	f("59 days later", []string{"host.example"}, true)
	now = now.Add(2 * time.Hour)
	f("30 days before it expires", []string{"host.example"}, false)
	if err := os.WriteFile(a.ServerFile(), []byte("-----BEGIN"), 0o644); err != nil { //nolint:gosec // the point of the test
		t.Fatal(err)
	}
	a = mustOpen(t, config)
	server(t, a, now, "host.example")
	now = now.Add(authorityLife - 5*renewBefore)
	f("authority ends soon", []string{"host.example"}, false)
	if leaf := server(t, a, now); leaf.NotAfter.After(a.cert.NotAfter) {
		t.Errorf("certificate ends after its authority, on %v", leaf.NotAfter)
	}
	now = now.Add(serverLife)
	if _, err := Open(config); err == nil || !strings.Contains(err.Error(), "expired on") || !strings.Contains(err.Error(), "move "+dir+" away") {
		t.Errorf("authority expired: %v", err)
	}
}

// TestInterrupted starts with what a crash, or somebody's hands, left behind.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	config := Config{Dir: filepath.Join(t.TempDir(), "tls"), Names: names("x")}
	a := mustOpen(t, config)
	key, err := os.ReadFile(a.caKeyFile())
	if err != nil {
		t.Fatal(err)
	}
	remove := func(path string) {
		t.Helper()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	remove(a.CAFile()) // ended between key and certificate
	a = mustOpen(t, config)
	server(t, a, time.Now(), "x")
	if again, _ := os.ReadFile(a.caKeyFile()); !bytes.Equal(again, key) {
		t.Error("the key is another one")
	}
	fingerprint := a.Fingerprint()
	remove(a.caKeyFile())
	if _, err := Open(config); err == nil || !strings.Contains(err.Error(), "ca.key is missing: bring it back") {
		t.Errorf("without the key: %v", err)
	}
	if err := os.WriteFile(a.caKeyFile(), key, 0o644); err != nil { //nolint:gosec // the point of the test
		t.Fatal(err)
	}
	if a = mustOpen(t, config); a.Fingerprint() != fingerprint {
		t.Error("another authority")
	}
	if info, err := os.Stat(a.caKeyFile()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the key is %v, %v", info.Mode(), err)
	}
	other := mustOpen(t, Config{Dir: filepath.Join(t.TempDir(), "tls"), Names: names("x")})
	foreign, err := os.ReadFile(other.ServerFile())
	if err != nil {
		t.Fatal(err)
	}
	if err := replace(a.ServerFile(), foreign); err != nil {
		t.Fatal(err)
	}
	server(t, mustOpen(t, config), time.Now(), "x") // made anew
	if err := replace(a.CAFile(), foreign); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(config); err == nil {
		t.Error("a certificate of another key is taken for the authority's")
	}
}

// TestTwoAtOnce opens one directory from several sides at once.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "tls")
	prints := make([]string, 4)
	var all sync.WaitGroup
	for i := range prints {
		all.Go(func() {
			a, err := Open(Config{Dir: dir, Names: names("x")})
			if err != nil {
				t.Error(err)
				return
			}
			prints[i] = a.Fingerprint()
		})
	}
	all.Wait()
	for _, p := range prints {
		if p != prints[0] {
			t.Errorf("authorities %q", prints)
		}
	}
}

// TestRun lets a quarter pass.
func TestRun(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "tls")
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		a := mustOpen(t, Config{Dir: dir, Names: names("x"), Logger: slog.New(slog.NewTextHandler(&log, nil))})
		first := server(t, a, time.Now(), "x")
		ctx, stop := context.WithCancel(t.Context())
		go a.Run(ctx)
		time.Sleep(serverLife)
		synctest.Wait()
		if server(t, a, time.Now(), "x").Equal(first) {
			t.Error("not renewed")
		}
		stop()
		synctest.Wait()
		if n := strings.Count(log.String(), "made a certificate"); n != 2 {
			t.Errorf("%d certificates, want 2: %s", n, &log)
		}
	})
}

func TestValidName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"a": true, "a-b.example": true, "*.example": true, "my_host": true, "10.0.0.1": true, "fd00::1": true,
		"": false, "*": false, "*.": false, "a..b": false, "-a": false, "a b": false, "ä": false, "a:1": false, "a.*": false,
		strings.Repeat("a", 64): false, strings.Repeat("a.", 130) + "a": false,
	} {
		if ValidName(name) != want {
			t.Errorf("%q: %v, want %v", name, !want, want)
		}
	}
	local := LocalNames()
	if len(local) < 3 || !ValidName(local[0]) {
		t.Errorf("local names %q", local)
	}
}
