// SPDX-License-Identifier: Apache-2.0

package program

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// serveVar makes the test binary a program that serves at an address.
const serveVar = "STROBE_PROGRAM_SERVE"

func TestMain(m *testing.M) {
	if address := os.Getenv(serveVar); address != "" {
		os.Exit(serve(address))
	}
	os.Exit(m.Run())
}

func serve(address string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	mux := http.NewServeMux()
	mux.HandleFunc("/ready", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "yes") }) //nolint:errcheck // a test
	server := &http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() {
		fmt.Fprintln(os.Stderr, server.ListenAndServe())
	}()
	fmt.Fprintln(os.Stderr, "serves at", address)
	<-ctx.Done()
	fmt.Fprintln(os.Stderr, "was told to stop")
	return 0
}

func startServe(t *testing.T) (r *Running, url string) {
	t.Helper()
	address := FreeAddress(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serveVar+"="+address)
	return Start(t, cmd), "http://" + address
}

func TestRunning(t *testing.T) {
	t.Parallel()
	r, url := startServe(t)
	Eventually(t, 5*time.Minute, "answer", func(ctx context.Context) bool { return Get(ctx, url+"/ready") == "yes" })
	if got := Get(t.Context(), url+"/nothing"); got != "" {
		t.Errorf("where nothing is: %q", got)
	}
	if got := Get(t.Context(), ":"); got != "" {
		t.Errorf("of no URL: %q", got)
	}
	Eventually(t, 5*time.Minute, "what it says while it runs", func(context.Context) bool { return strings.Contains(r.Log(), "serves at ") })
	r.Stop()
	if !strings.Contains(r.Log(), "was told to stop") {
		t.Errorf("it has said %q", r.Log())
	}
	if got := Get(t.Context(), url+"/ready"); got != "" {
		t.Errorf("it answers after its end: %q", got)
	}
}

// TestEnds finds no program behind a test that did not stop it.
func TestEnds(t *testing.T) {
	t.Parallel()
	var left, killed *Running
	t.Run("test", func(t *testing.T) {
		left, _ = startServe(t)
		killed, _ = startServe(t)
		killed.Kill()
	})
	for _, r := range []*Running{left, killed} {
		if s, ok := r.ProcessState.Sys().(syscall.WaitStatus); !ok || s.Signal() != syscall.SIGKILL {
			t.Errorf("it ended with %v", r.ProcessState)
		}
	}
}

// TestFreeAddress gives no address twice while it may still be used.
func TestFreeAddress(t *testing.T) {
	t.Parallel()
	const addresses = 500
	seen := map[string]bool{}
	for range addresses {
		a := FreeAddress(t)
		if seen[a] {
			t.Fatalf("%s is given twice", a)
		}
		seen[a] = true
	}
}

func TestBuild(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := Build(dir, "support/internal/gencounters"); err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath(filepath.Join(dir, "gencounters")); err != nil {
		t.Error(err)
	}
	if err := Build(dir, "nothing/here"); err == nil || !strings.Contains(err.Error(), "nothing/here") {
		t.Errorf("of a package that is not there: %v", err)
	}
}
