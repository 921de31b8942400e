// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"

	"github.com/strobe-profiler/strobe/internal/systemd"
)

var compactUsage = `Usage: ` + program + ` compact [flags of the server]

Does the upkeep of the data directory now that a running server does in the
background when its time has come: it merges blocks, makes their roll-ups, and
ends. The server must not be running. Nothing that is stored is lost by it: what
is too old, or too much, the server removes when it runs again.
`

// compactData is the command compact.
func compactData(args, environ []string, stdout, stderr io.Writer) int {
	var said bytes.Buffer // by load, which would tell how to use the server
	c, a, err := load(args, environ, &said)
	if errors.Is(err, flag.ErrHelp) {
		_, _ = io.WriteString(stdout, compactUsage)
		return exitOK
	}
	_, _ = said.WriteTo(stderr) // nobody is left to tell
	switch {
	case errors.Is(err, errUsage):
		return exitUsage
	case err == nil && (a.version || a.checkConfig || a.printConfig):
		_, _ = io.WriteString(stderr, compactUsage)
		return exitUsage
	case err == nil:
		err = c.Validate()
	}
	if err == nil && c.Store != storeEmbedded {
		err = fmt.Errorf("-store %s: only the data of the embedded engine is kept by this program", c.Store)
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, err)
		return exitFailure
	}
	c.KeepAges = true
	logger := systemd.NewLogger(stderr, c.LogFormat, c.LogLevel)
	ctx, stop := signalContext(logger)
	defer stop()
	if err := maintain(ctx, c, logger, stdout); err != nil {
		_, _ = fmt.Fprintln(stderr, err)
		return exitFailure
	}
	return exitOK
}

// maintain opens the store for its upkeep alone.
func maintain(ctx context.Context, c *Config, logger *slog.Logger, stdout io.Writer) (err error) {
	plan, err := c.memoryPlan()
	if err != nil {
		return err
	}
	db, err := openStore(ctx, c, plan, nil, logger, newRegistry(), func(string) {})
	if err != nil || db == nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	m, ok := db.(interface {
		WaitReplayed(ctx context.Context) error
		Maintain(ctx context.Context) error
	})
	if !ok {
		return errors.New("this engine has no upkeep")
	}
	if err := m.WaitReplayed(ctx); err != nil {
		return err
	}
	before, err := db.Stats(ctx)
	if err != nil {
		return err
	}
	if err := m.Maintain(ctx); err != nil {
		return err
	}
	after, err := db.Stats(ctx)
	if err != nil {
		return err
	}
	total := func(parts map[string]int64) (n int64) {
		for _, bytes := range parts {
			n += bytes
		}
		return n
	}
	_, err = fmt.Fprintf(stdout, "%d samples, %d MiB before, %d MiB now\n", after.Samples, total(before.Bytes)>>20, total(after.Bytes)>>20)
	return err
}
