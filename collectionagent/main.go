// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/strobe-profiler/strobe/internal/invocation"
	"github.com/strobe-profiler/strobe/internal/systemd"
)

// program is the name that people call it by.
var program = invocation.Name("collectionagent")

func main() { os.Exit(run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr)) }

// Exit statuses.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// run is main without globals.
func run(args, environ []string, stdout, stderr io.Writer) int {
	if command, ok := findCommand(args); ok {
		return command(args[1:], environ, stdout, stderr)
	}
	c, a, err := load(args, environ, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.Is(err, errUsage):
		return exitUsage
	case err != nil:
		_, _ = fmt.Fprintln(stderr, err)
		return exitFailure
	case a.version:
		return printVersion(nil, nil, stdout, stderr)
	case a.printConfig:
		if err := printConfig(stdout, c); err != nil {
			_, _ = fmt.Fprintln(stderr, err)
			return exitFailure
		}
		return exitOK
	}
	if err := c.Validate(); err != nil {
		_, _ = fmt.Fprintln(stderr, err)
		return exitFailure
	}
	if a.checkConfig {
		if err := c.checkFiles(); err != nil {
			_, _ = fmt.Fprintln(stderr, err)
			return exitFailure
		}
		_, _ = fmt.Fprintln(stdout, "configuration is right")
		return exitOK
	}
	logger := systemd.NewLogger(stderr, c.LogFormat, c.LogLevel)
	if plan, err := c.memoryPlan(); err == nil { // was validated
		limitRuntime(plan, logger)
	}
	ctx, stop := signalContext(logger)
	defer stop()
	if err := serve(ctx, c, logger, stdout); err != nil {
		logger.Error("collection agent ends", "err", err)
		return exitFailure
	}
	return exitOK
}

// signalContext returns a context that the first SIGTERM or SIGINT ends. The
// second ends the process at once: what was acknowledged is on disk anyway.
func signalContext(logger *slog.Logger) (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	done := make(chan struct{})
	go func() {
		select {
		case s := <-signals:
			logger.Info("draining", "signal", s.String())
			cancel()
		case <-done:
			return
		}
		select {
		case s := <-signals:
			logger.Warn("ending at once", "signal", s.String())
			os.Exit(exitFailure)
		case <-done:
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel()
	}
}
