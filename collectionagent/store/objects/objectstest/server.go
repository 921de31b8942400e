// SPDX-License-Identifier: Apache-2.0

// Package objectstest starts a real S3 server for tests, and checks what keeps
// objects.
package objectstest

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/store/objects"
	"github.com/strobe-profiler/strobe/support/program"
	"github.com/strobe-profiler/strobe/support/skip"
)

// Credentials of the server.
const (
	AccessKey = "strobe-tests"
	SecretKey = "not-a-secret-of-anybody"
)

// Bucket is the one bucket of the server.
const Bucket = "profiles"

// Server is an S3 server over a directory, on loopback. Kill and Restart are for one caller at a
// time: who does not wait for the end of Kill before Restart loses the new server.
type Server struct {
	// Address is its host:port.
	Address string
	// Dir has a file for each object, below the name of the bucket.
	Dir    string
	binary string
	cmd    *exec.Cmd
}

// findServer returns the path of the server's program.
func findServer(tb testing.TB) string {
	tb.Helper()
	if path, err := exec.LookPath("versitygw"); err == nil {
		return path
	}
	dir, err := os.Getwd()
	for ; err == nil && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		path := filepath.Join(dir, "bin", "versitygw")
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	skip.Because(tb, "there is no versitygw in the path or in bin/: support/test-deps.sh installs it")
	return ""
}

// Start starts a server, which ends with the test, and lets the test find its credentials.
func Start(tb testing.TB) *Server {
	tb.Helper()
	s := &Server{binary: findServer(tb), Dir: filepath.Join(tb.TempDir(), "s3")}
	for _, d := range []string{filepath.Join(s.Dir, Bucket), s.sidecar()} {
		if err := os.MkdirAll(d, 0o750); err != nil {
			tb.Fatal(err)
		}
	}
	// Of those that the kernel gives to nobody: a connection of a client that looks for the server
	// while it is down could have its port.
	s.Address = program.FreeAddress(tb)
	tb.Cleanup(s.Kill)
	s.Restart(tb)
	return s
}

func (s *Server) sidecar() string { return filepath.Join(filepath.Dir(s.Dir), "metadata") }

// Restart starts the server again on the same directory and address, after Kill.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	s.cmd = exec.Command(s.binary, "--port", s.Address, "--access", AccessKey, "--secret", SecretKey, "--quiet", "--keep-alive", //nolint:gosec // the test's own
		"posix", "--sidecar", s.sidecar(), s.Dir)
	s.cmd.Stderr = os.Stderr
	if err := s.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		r, err := http.Get("http://" + s.Address + "/") //nolint:noctx // of a test
		if err == nil {
			_ = r.Body.Close()
			return
		}
		if time.Now().After(end) {
			tb.Fatalf("the S3 server does not answer: %v", err)
		}
	}
}

// Kill ends the server with SIGKILL and waits for its end.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
}

// URL returns the location of a prefix.
func (s *Server) URL(prefix string) string {
	return fmt.Sprintf("s3://%s/%s?endpoint=http://%s&region=us-east-1&path-style=true", Bucket, prefix, s.Address)
}

// Credentials writes a file with the credentials and returns its path.
func Credentials(tb testing.TB) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "credentials")
	text := "[default]\naws_access_key_id = " + AccessKey + "\naws_secret_access_key = " + SecretKey + "\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// Open returns a prefix as a bucket.
func (s *Server) Open(tb testing.TB, prefix string) objects.Bucket {
	tb.Helper()
	l, err := objects.ParseLocation(s.URL(prefix))
	if err != nil {
		tb.Fatal(err)
	}
	b, err := l.Open(Credentials(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}
