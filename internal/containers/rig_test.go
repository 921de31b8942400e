// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/libpf"
)

// Containers and pods of testdata/k8s.
var (
	sandboxID = strings.Repeat("5a", 32)
	webID     = strings.Repeat("3e", 32)
	beforeID  = strings.Repeat("3d", 32)
	setupID   = strings.Repeat("1b", 32)
	debugID   = strings.Repeat("d0", 32)
	etcdID    = strings.Repeat("e7", 32)
)

const podUID = "0b6a3a52-7d0b-4d4c-9c3a-6f1de2a7b1c4"

func answer(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "answers", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// serve answers HTTP at a socket.
func serve(t *testing.T, h http.HandlerFunc) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "c") // a path of a socket has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(dir, "docker.sock")
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(h)
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		_ = os.RemoveAll(dir)
	})
	return socket
}

// started returns a directory that asks.
func started(t *testing.T, o Options) *Directory {
	t.Helper()
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	d.Start()
	t.Cleanup(d.Close)
	return d
}

// described waits until a process is described as wanted.
func described(t *testing.T, d *Directory, p *libpf.Process, wanted func(*libpf.Process) bool) *libpf.Process {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for {
		got := d.Describe(p)
		if wanted(got) {
			return got
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("it stays %+v; sources: %+v", got, d.Status())
		}
	}
}

// settled waits until the only source has answered and all that it told is counted: a container
// is known a moment before that.
func settled(t *testing.T, d *Directory) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for d.Status()[0].State != StateAsked {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("it does not answer: %+v", d.Status())
		}
	}
}

func named(p *libpf.Process) bool { return p.ContainerName != "" }

func label(p *libpf.Process, key string) string {
	for _, l := range p.Labels {
		if l.Key == key {
			return l.Value
		}
	}
	return ""
}

func process(id string) *libpf.Process {
	return &libpf.Process{PID: 42, Name: "app", ContainerID: id, Service: id[:12]}
}
