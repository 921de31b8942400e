// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/support/program"
)

// TestStatus asks servers in all states for their health, as a container does.
func TestStatus(t *testing.T) {
	t.Parallel()
	f := func(exit int, want string, environ []string, args ...string) {
		t.Helper()
		cmd := exec.Command(binary, append([]string{"status"}, args...)...)
		cmd.Env = append(os.Environ(), environ...)
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != exit || !strings.Contains(string(out), want) {
			t.Errorf("status %v %v: exit %d, want %d; output %q, want %q", args, environ, got, exit, out, want)
		}
	}
	p := start(t, t.TempDir())
	f(0, "ready", nil, "-http-address", p.http)
	f(0, "ready", []string{"STROBE_COLLECTIONAGENT_HTTP_ADDRESS=" + p.http})
	_, port, err := net.SplitHostPort(p.http)
	if err != nil {
		t.Fatal(err)
	}
	f(0, "ready", nil, "-insecure", "-http-address", ":"+port)
	f(0, "ready", nil, "-insecure", "-http-address", "0.0.0.0:"+port)

	encrypted := startEverywhere(t, t.TempDir())
	_, port, err = net.SplitHostPort(encrypted.http)
	if err != nil {
		t.Fatal(err)
	}
	f(0, "ready", nil, "-http-address", "0.0.0.0:"+port)

	// A server that wants a certificate of everyone gets its own.
	cert, key, _, _ := certificate(t)
	other, otherKey, _, _ := certificate(t)
	strict := start(t, t.TempDir(), "-tls-cert", cert, "-tls-key", key, "-tls-client-ca", cert)
	f(0, "ready", nil, "-http-address", strict.http, "-tls-cert", cert, "-tls-key", key, "-tls-client-ca", cert)
	f(1, "-tls-client-auth", nil, "-http-address", strict.http, "-tls-cert", other, "-tls-key", otherKey, "-tls-client-ca", cert)

	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "read-only: disk full", http.StatusServiceUnavailable)
	}))
	address := strings.TrimPrefix(broken.URL, "http://")
	f(1, "503 Service Unavailable: read-only: disk full", nil, "-http-address", address)
	broken.Close()
	address = program.RefusedAddress(t)
	f(1, "see -http-address", nil, "-http-address", address)
	f(1, "see -http-address", nil, "-http-address", address, "-tls-cert", cert, "-tls-key", key, "-tls-client-ca", cert)
	f(1, "-http-address", nil, "-http-address", "nonsense")
	f(1, "NONSENSE is not a setting", []string{"STROBE_COLLECTIONAGENT_NONSENSE=1"})
	f(2, "flag provided but not defined: -nope", nil, "-nope")
	f(2, `unexpected argument "now"`, nil, "now")
	f(0, "Usage: collectionagent status", nil, "-help")
}
