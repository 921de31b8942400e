// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/strobe-profiler/strobe/agent/internal/config"
	"github.com/strobe-profiler/strobe/agent/internal/doctor"
	"github.com/strobe-profiler/strobe/agent/internal/status"
)

func writeStatusUsage(w io.Writer) error {
	_, err := io.WriteString(w, program+` status asks the agent that runs on this host how it does: whether it
profiles and delivers, what became of its samples, and what is off on this host.

Usage:
  `+program+` status [-address HOST:PORT] [-config FILE] [-o text|json]

  -address HOST:PORT
        where the agent serves its pages; else what its settings say: http-address in
        the environment (`+config.EnvPrefix+`HTTP_ADDRESS) or in the file, or 127.0.0.1:7071
  -config FILE
        the agent's file of settings (environment: `+config.EnvPrefix+`CONFIG)
  -o FORMAT
        text or json (default text)

Exit status: 0 if it profiles and delivers, 1 if not or if it cannot be asked,
2 wrong usage.
`)
	return err
}

// runStatus asks the running agent how it does.
func runStatus(ctx context.Context, args, environ []string, stdout io.Writer) (int, error) {
	fs := flag.NewFlagSet("agent status", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	format := fs.String("o", doctor.Text, "")
	address := fs.String("address", "", "")
	file := fs.String("config", "", "")
	if err := fs.Parse(args); err != nil {
		return 0, statusUsage(config.ExplainFlagError(err, fs))
	}
	if fs.NArg() > 0 {
		return 0, statusUsage(fmt.Errorf("unexpected argument %q", fs.Arg(0)))
	}
	if *format != doctor.Text && *format != doctor.JSON {
		return 0, statusUsage(fmt.Errorf("-o: is %q, must be text or json", *format))
	}
	at, err := config.StatusAddress(*address, *file, environ)
	if errors.Is(err, config.ErrNotServed) {
		return 0, err
	}
	if err != nil {
		return 0, statusUsage(err)
	}
	report, err := status.Ask(ctx, at)
	if err != nil {
		return 0, err
	}
	write := func() error { return report.WriteText(stdout, time.Now()) }
	if *format == doctor.JSON {
		write = func() error { return report.WriteJSON(stdout) }
	}
	if err := write(); err != nil {
		return 0, err
	}
	if !report.Healthy() {
		return exitError, nil
	}
	return exitOK, nil
}
