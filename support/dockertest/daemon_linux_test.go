// SPDX-License-Identifier: Apache-2.0

package dockertest

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// TestDaemon runs a container that publishes a port, finds it there and not on the host, and finds
// nothing of the engine afterwards.
func TestDaemon(t *testing.T) {
	before := interfaces(t)
	var d *Daemon
	t.Run("engine", func(t *testing.T) {
		d = Start(t)
		d.Build(t, "dockertest-serve", "./testdata/serve")
		id := strings.TrimSpace(d.Run(t, "docker", "run", "-d", "--hostname", "within", "-p", "127.0.0.1:8080:8080", "dockertest-serve"))
		body := get(t, d, "http://127.0.0.1:8080/")
		if body != "within" {
			t.Errorf("the container says %q", body)
		}
		if conn, err := net.Dial("tcp", "127.0.0.1:8080"); err == nil {
			_ = conn.Close()
			t.Error("its port is the host's too, or the host has one of its own")
		}
		if ids := d.Run(t, "docker", "ps", "-q", "--no-trunc"); !strings.Contains(ids, id) {
			t.Errorf("docker ps has %q, want %s", ids, id)
		}
		if _, err := d.DialContext(t.Context(), "tcp", "localhost:8080"); err == nil {
			t.Error("a name was dialled")
		}
	})
	if d == nil {
		t.SkipNow()
	}
	if _, err := os.Stat(d.Dir); !os.IsNotExist(err) {
		t.Errorf("its folder: %v", err)
	}
	if after := interfaces(t); after != before {
		t.Errorf("interfaces before: %s\nand after: %s", before, after)
	}
}

// TestStorageEverywhere is for hosts on which no other storage driver works.
func TestStorageEverywhere(t *testing.T) {
	Start(t) // skips where there is no engine
	d, err := start("vfs")
	if err != nil {
		t.Fatal(err)
	}
	if d.Storage != "vfs" {
		t.Errorf("storage driver %q", d.Storage)
	}
	if err := d.stop(); err != nil {
		t.Error(err)
	}
	if _, err := start("nonsense"); err == nil {
		t.Error("started with a driver that does not exist")
	} else if !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("the error does not have the log: %v", err)
	}
}

func get(t *testing.T, d *Daemon, url string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := d.Client().Do(req)
		if err == nil {
			body, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err == nil {
				return string(body)
			}
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("get %s: %v", url, err)
		}
	}
}

// interfaces returns the names of the host's network interfaces, other than those of engines that
// come and go at the same time.
func interfaces(t *testing.T) string {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, i := range all {
		if !strings.HasPrefix(i.Name, "veth") && !strings.HasPrefix(i.Name, "br-") {
			names = append(names, i.Name)
		}
	}
	return strings.Join(names, " ")
}
