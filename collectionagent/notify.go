// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log/slog"
	"os"
	"sync"

	"github.com/strobe-profiler/strobe/internal/systemd"
)

// manager is the systemd that started the server, if one did.
type manager struct{ *systemd.Notifier }

// tellStarting asks systemd for patience until started is called, which may be more
// than once: a long log takes its time to be read.
func tellStarting(ctx context.Context, logger *slog.Logger) (m manager, started func()) {
	m = manager{systemd.NewNotifier(os.Getenv, logger)}
	return m, inBackground(ctx, func(ctx context.Context) { m.Starting(ctx, "reading what is not in blocks yet") })
}

// live says that the server is ready, and then that it lives, until stop is called.
func (m manager) live() (stop func()) {
	m.Tell(systemd.Ready + "\nSTATUS=takes and shows profiles")
	// Also while requests are drained, when the context of the server has ended.
	return inBackground(context.Background(), m.Alive)
}

func (m manager) tellStopping() { m.Tell(systemd.Stopping + "\nSTATUS=waits for requests to end") }

// inBackground runs f until stop is called, which waits for its end.
func inBackground(ctx context.Context, f func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { f(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}
