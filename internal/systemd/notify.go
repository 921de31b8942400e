// SPDX-License-Identifier: Apache-2.0

// Package systemd is what a service says to systemd: how far it is, that it lives,
// and log lines with a priority. Without systemd all of it does nothing, or what
// a program on a terminal does.
package systemd

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"
)

// States for [Notifier.Tell]; see sd_notify(3).
const (
	Ready    = "READY=1"
	Stopping = "STOPPING=1"
	alive    = "WATCHDOG=1"
)

// Notifier tells systemd about a service. The zero value, and nil, tell nobody. It is safe
// for concurrent use.
type Notifier struct {
	// Socket is what NOTIFY_SOCKET holds, "" for none.
	Socket string
	// Watchdog is how long systemd waits for a sign of life, 0: it waits for none.
	Watchdog time.Duration
	Logger   *slog.Logger
}

// NewNotifier reads what systemd wants from the environment of this process.
func NewNotifier(getenv func(string) string, log *slog.Logger) *Notifier {
	n := &Notifier{Socket: getenv("NOTIFY_SOCKET"), Logger: log}
	if pid := getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return n // meant for a parent, whose environment this is
	}
	if micros, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64); err == nil && micros > 1 {
		n.Watchdog = time.Duration(micros) * time.Microsecond
	}
	return n
}

// Tell sends a message. That systemd cannot be told is logged for debugging only: the
// service goes on.
func (n *Notifier) Tell(message string) {
	if n == nil || n.Socket == "" {
		return
	}
	if err := n.send(message); err != nil && n.Logger != nil {
		n.Logger.Debug("systemd was not told", "message", message, "err", err)
	}
}

func (n *Notifier) send(message string) error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.Socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // one datagram
	// A full socket of a systemd that hangs must not hold up the service.
	if err := conn.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	_, err = conn.Write([]byte(message))
	return err
}

// Alive tells systemd that the service lives until ctx ends, if systemd wants to know.
// It says that the process is scheduled and its runtime works, and no more: a disk or a
// network that hangs is not cured by a restart.
func (n *Notifier) Alive(ctx context.Context) {
	if n == nil || n.Socket == "" || n.Watchdog <= 0 {
		return
	}
	n.every(ctx, n.Watchdog/2, alive)
}

// patience is how much longer systemd is asked to wait for a start, again and again.
const patience = 30 * time.Second

// Starting asks systemd to wait for a start that takes long, until ctx ends. The
// text says what is being done.
func (n *Notifier) Starting(ctx context.Context, text string) {
	if n == nil || n.Socket == "" {
		return
	}
	message := fmt.Sprintf("STATUS=%s\nEXTEND_TIMEOUT_USEC=%d", text, patience.Microseconds())
	n.Tell(message)
	n.every(ctx, patience/3, message)
}

func (n *Notifier) every(ctx context.Context, interval time.Duration, message string) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			n.Tell(message)
		}
	}
}
