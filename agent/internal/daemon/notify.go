// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"net"
	"os"
	"strconv"
	"time"
)

// notify tells systemd about a change of state; see sd_notify(3).
func (d *daemon) notify(message string) {
	if d.deps.NotifySocket == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: d.deps.NotifySocket, Net: "unixgram"})
	if err != nil {
		d.log.Debug("systemd was not told", "message", message, "err", err)
		return
	}
	defer conn.Close() //nolint:errcheck // one datagram
	if _, err := conn.Write([]byte(message)); err != nil {
		d.log.Debug("systemd was not told", "message", message, "err", err)
	}
}

// watchdog tells systemd that the agent lives, if systemd asked for it.
func (d *daemon) watchdog(ctx context.Context) {
	micros, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || micros <= 1 || d.deps.NotifySocket == "" {
		return
	}
	tick := time.NewTicker(time.Duration(micros) * time.Microsecond / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			d.notify("WATCHDOG=1")
		}
	}
}
