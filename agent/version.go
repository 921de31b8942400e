// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"fmt"
	"io"

	"github.com/strobe-profiler/strobe/agent/internal/config"
	"github.com/strobe-profiler/strobe/internal/buildinfo"
	"github.com/strobe-profiler/strobe/internal/sampling/live"
)

// buildInfo describes the binary.
func buildInfo() buildinfo.Info { return buildinfo.Read("agent", live.Objects()...) }

func writeVersionUsage(w io.Writer) error {
	_, err := io.WriteString(w, program+` version prints what this binary was built from. The hash of eBPF is one of
all programs that it loads into the kernel; JSON has that of each.

Usage:
  `+program+` version [-o text|json]
`)
	return err
}

// printVersion prints what the binary was built from.
func printVersion(args []string, stdout io.Writer) error {
	fs := flag.NewFlagSet("agent version", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	format := fs.String("o", buildinfo.Text, "")
	if err := fs.Parse(args); err != nil {
		return versionUsage(config.ExplainFlagError(err, fs))
	}
	if fs.NArg() > 0 {
		return versionUsage(fmt.Errorf("unexpected argument %q", fs.Arg(0)))
	}
	if err := buildinfo.CheckFormat(*format); err != nil {
		return versionUsage(err)
	}
	return buildInfo().Write(stdout, *format)
}
