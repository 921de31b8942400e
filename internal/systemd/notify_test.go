// SPDX-License-Identifier: Apache-2.0

package systemd

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// manager is a systemd that listens.
func manager(t *testing.T) (socket string, told func() string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return socket, func() string {
		b := make([]byte, 4096)
		n, err := conn.Read(b)
		if err != nil {
			t.Error(err)
		}
		return string(b[:n])
	}
}

func TestNewNotifier(t *testing.T) {
	t.Parallel()
	own := strconv.Itoa(os.Getpid())
	f := func(usec, pid string, want time.Duration) {
		t.Helper()
		env := map[string]string{"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": usec, "WATCHDOG_PID": pid}
		n := NewNotifier(func(name string) string { return env[name] }, nil)
		if n.Socket != "/s" || n.Watchdog != want {
			t.Errorf("%q %q: %+v", usec, pid, n)
		}
	}
	f("", "", 0)
	f("3000000", "", 3*time.Second)
	f("3000000", own, 3*time.Second)
	f("3000000", "1", 0)
	f("0", own, 0)
	f("-5", own, 0)
	f("soon", own, 0)
}

func TestTell(t *testing.T) {
	t.Parallel()
	socket, told := manager(t)
	(&Notifier{Socket: socket}).Tell(Ready)
	if got := told(); got != "READY=1" {
		t.Error(got)
	}
	// Nobody there, or nobody to tell: no more than that.
	(*Notifier)(nil).Tell(Ready)
	(&Notifier{}).Tell(Ready)
	(&Notifier{Socket: filepath.Join(t.TempDir(), "nobody")}).Tell(Ready)
	(*Notifier)(nil).Alive(t.Context())
	(&Notifier{Socket: socket}).Alive(t.Context())
	(*Notifier)(nil).Starting(t.Context(), "x")
}

// during calls f until the test ends.
func during(t *testing.T, f func(context.Context)) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(t.Context())
	}()
	t.Cleanup(func() { <-done })
}

func TestAlive(t *testing.T) {
	t.Parallel()
	socket, told := manager(t)
	during(t, (&Notifier{Socket: socket, Watchdog: 2 * time.Millisecond}).Alive)
	for range 2 {
		if got := told(); got != "WATCHDOG=1" {
			t.Error(got)
		}
	}
}

func TestStarting(t *testing.T) {
	t.Parallel()
	socket, told := manager(t)
	during(t, func(ctx context.Context) { (&Notifier{Socket: socket}).Starting(ctx, "reading the log") })
	if got := told(); !strings.HasPrefix(got, "STATUS=reading the log\nEXTEND_TIMEOUT_USEC=30000000") {
		t.Error(got)
	}
}
