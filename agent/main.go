// SPDX-License-Identifier: Apache-2.0

// The agent profiles every process of a host and sends the profiles to a
// collection agent, or into a file.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/strobe-profiler/strobe/agent/internal/config"
	"github.com/strobe-profiler/strobe/agent/internal/record"
	"github.com/strobe-profiler/strobe/internal/invocation"
)

// Exit statuses.
const (
	exitOK = iota
	exitError
	exitUsage
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	// The second signal finds no handler and ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// program is the name that people call it by.
var program = invocation.Name("agent")

// run runs the command that the arguments name and returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	command := ""
	if len(args) > 0 {
		command = args[0]
	}
	var status int
	var err error
	switch command {
	case "record":
		status, err = runRecord(ctx, args[1:], stdout, stderr)
	case "doctor":
		status, err = runDoctor(ctx, args[1:], stdout)
	case "status":
		status, err = runStatus(ctx, args[1:], os.Environ(), stdout)
	case "version":
		err = printVersion(args[1:], stdout)
	case "help":
		err = config.WriteUsage(stdout)
	default:
		err = runDaemon(ctx, args, stdout, stderr)
	}
	var wrong *usageError
	switch {
	case err == nil:
		return status
	case errors.As(err, &wrong) && errors.Is(err, flag.ErrHelp):
		if err := wrong.help(stdout); err != nil {
			return exitError
		}
		return exitOK
	case errors.As(err, &wrong):
		fmt.Fprintf(stderr, "%s: %v\nRun \"%[1]s %[3]s\" for help.\n", program, err, wrong.helpArgs) //nolint:errcheck // nobody else to tell
		return exitUsage
	}
	fmt.Fprintf(stderr, "%s: %v\n", program, err) //nolint:errcheck // nobody else to tell
	return exitError
}

// usageError is about what the user wrote.
type usageError struct {
	err error
	// help writes the help text, helpArgs are how to ask for it.
	help     func(io.Writer) error
	helpArgs string
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func daemonUsage(err error) error { return &usageError{err, config.WriteUsage, "-help"} }
func recordUsage(err error) error { return &usageError{err, record.WriteUsage, "record -help"} }
func doctorUsage(err error) error { return &usageError{err, writeDoctorUsage, "doctor -help"} }
func statusUsage(err error) error { return &usageError{err, writeStatusUsage, "status -help"} }
func versionUsage(err error) error {
	return &usageError{err, writeVersionUsage, "version -help"}
}
