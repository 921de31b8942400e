// SPDX-License-Identifier: Apache-2.0

// Strobectl works with profiles from the command line.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// Exit statuses.
const (
	exitOK       = 0
	exitFindings = 1 // or what was asked for could not be done
	exitUsage    = 2
	exitGrew     = 3 // diff -fail-over
	// exitInterrupted is that of a shell for a program that Ctrl-C ended.
	exitInterrupted = 130
)

// run is main without globals.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 1 && (args[0] == "-version" || args[0] == "--version") {
		args = []string{"version"} // as the other programs of the project have it
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// Whoever presses Ctrl-C a second time does not want to wait for a good end.
	context.AfterFunc(ctx, stop)
	return root().run(&call{ctx: ctx, args: args, stdin: stdin, stdout: stdout, stderr: stderr})
}

// root returns the tree of commands. Each group of commands has a file of its own.
func root() *command {
	return &command{
		name:    "strobectl",
		summary: "Work with profiles from the command line.",
		commands: []*command{
			topCommand(),
			flamegraphCommand(),
			diffCommand(),
			callersCommand(),
			linesCommand(),
			timelineCommand(),
			watchCommands(),
			labelsCommand(),
			typesCommand(),
			hostsCommand(),
			executablesCommand(),
			eventsCommand(),
			statusCommand(),
			exportCommand(),
			importCommand(),
			recordCommand(),
			otlpCommands(),
			completionCommand(),
			completeCommand(),
			versionCommand(),
		},
	}
}
