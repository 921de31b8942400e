// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/strobe-profiler/strobe/internal/buildinfo"
)

// buildInfo describes the binary.
func buildInfo() buildinfo.Info { return buildinfo.Read("collectionagent") }

// printVersion is the command version. -version prints the same as text.
func printVersion(args, _ []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("version", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		_, _ = fmt.Fprint(stderr, "Usage: "+program+" version [-o text|json]\n\nPrints what this binary was built from.\n")
	}
	format := fs.String("o", buildinfo.Text, "`format`: text or json")
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		return exitUsage // was printed
	case fs.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", fs.Arg(0))
	default:
		err = buildinfo.CheckFormat(*format)
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, err)
		return exitUsage
	}
	if err := buildInfo().Write(stdout, *format); err != nil {
		_, _ = fmt.Fprintln(stderr, err)
		return exitFailure
	}
	return exitOK
}
