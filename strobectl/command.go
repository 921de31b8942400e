// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/strobe-profiler/strobe/internal/nearest"
)

// command is a node of the tree of commands: a group of commands, or one that runs.
type command struct {
	name    string
	summary string // a sentence
	help    string // more of it, behind the flags

	commands []*command // of a group

	operands string // of one that runs, as the usage shows them
	// setup declares the flags of the command and returns what runs once they are read.
	setup func(*flag.FlagSet) func(*call) error
}

// call is one call of a command.
type call struct {
	// ctx ends with the program: at Ctrl-C.
	ctx            context.Context //nolint:containedctx // for one call
	args           []string        // what is left of the command line
	stdin          io.Reader
	stdout, stderr io.Writer
}

// errFindings ends a command with its status and without a word: it has printed what it found.
var errFindings = errors.New("findings")

// statusError ends a command with a status, without a word more.
type statusError int

func (e statusError) Error() string { return "status " + strconv.Itoa(int(e)) }

// usageError is a mistake in the command line.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func misuse(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// run finds the command that the arguments name, and runs it.
func (c *command) run(in *call) int { return c.runAs(c.name, in) }

func (c *command) runAs(path string, in *call) int {
	if c.setup != nil {
		return c.runLeaf(path, in)
	}
	name := ""
	if len(in.args) > 0 {
		name = in.args[0]
	}
	switch name {
	case "-h", "-help", "--help", "help":
		if len(in.args) > 1 && !strings.HasPrefix(in.args[1], "-") {
			// help top is top -help.
			in.args = append(in.args[1:len(in.args):len(in.args)], "-help")
			return c.runAs(path, in)
		}
		c.usage(path, in.stdout)
		return exitOK
	case "":
		c.usage(path, in.stderr)
		return exitUsage
	}
	for _, below := range c.commands {
		if below.name == name {
			in.args = in.args[1:]
			return below.runAs(path+" "+name, in)
		}
	}
	like := ""
	if near := nearest.Name(name, c.names()); near != "" {
		like = "; did you mean " + near + "?"
	}
	_, _ = fmt.Fprintf(in.stderr, "%s: unknown command %q%s %s -help lists them\n", path, name, cmp.Or(like, ";"), path)
	return exitUsage
}

// names lists the commands of a group.
func (c *command) names() []string {
	var names []string
	for _, below := range c.commands {
		if below.summary != "" {
			names = append(names, below.name)
		}
	}
	return names
}

func (c *command) runLeaf(path string, in *call) int {
	flags := flag.NewFlagSet(path, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are printed below
	flags.Usage = func() {}
	body := c.setup(flags)
	operands, err := parse(flags, in.args)
	if err == nil {
		in.args = operands
		err = body(in)
	}
	var wrong *usageError
	var status statusError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, flag.ErrHelp):
		c.usage(path, in.stdout)
		return exitOK
	case errors.Is(err, errFindings):
		return exitFindings
	case errors.As(err, &wrong):
		_, _ = fmt.Fprintf(in.stderr, "%s: %v\nUsage: %s; -help tells more\n", path, err, c.line(path))
		return exitUsage
	case errors.As(err, &status):
		return int(status)
	case errors.Is(err, context.Canceled) && in.ctx.Err() != nil:
		return exitInterrupted
	default:
		_, _ = fmt.Fprint(in.stderr, hint(path, err))
		return exitFindings
	}
}

// parse reads flags and operands, in any order. What follows -- is an operand.
func parse(flags *flag.FlagSet, args []string) (operands []string, err error) {
	for {
		if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
			return nil, err
		} else if err != nil {
			return nil, flagMistake(flags, err)
		}
		rest := flags.Args()
		if n := len(args) - len(rest); len(rest) == 0 || n > 0 && args[n-1] == "--" {
			return append(operands, rest...), nil
		}
		operands, args = append(operands, rest[0]), rest[1:]
	}
}

// flagMistake says which flag may have been meant.
func flagMistake(flags *flag.FlagSet, err error) error {
	name, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !ok {
		return misuse("%v", err)
	}
	var names []string
	flags.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
	if near := nearest.Name(name, names); near != "" && len(name) > 1 {
		return misuse("%v; did you mean -%s?", err, near)
	}
	return misuse("%v", err)
}

// line is how the command is called.
func (c *command) line(path string) string {
	if c.setup == nil {
		return path + " COMMAND"
	}
	line := path
	if hasFlags(c.flags(path)) {
		line += " [flags]"
	}
	return strings.TrimSpace(line + " " + c.operands)
}

// flags returns the flags of a command.
func (c *command) flags(path string) *flag.FlagSet {
	flags := flag.NewFlagSet(path, flag.ContinueOnError)
	c.setup(flags)
	return flags
}

func hasFlags(flags *flag.FlagSet) (has bool) {
	flags.VisitAll(func(*flag.Flag) { has = true })
	return has
}

// usage prints the help.
func (c *command) usage(path string, w io.Writer) {
	_, _ = fmt.Fprintf(w, "%s\n\nUsage: %s\n", c.summary, c.line(path))
	if c.setup == nil {
		_, _ = fmt.Fprint(w, "\nCommands:\n")
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, below := range c.commands {
			if below.summary == "" {
				continue // not for people
			}
			_, _ = fmt.Fprintf(t, "  %s\t%s\n", below.name, below.summary)
		}
		_ = t.Flush()
		_, _ = fmt.Fprintf(w, "\n%s COMMAND -help tells more of one.\n", path)
	} else if flags := c.flags(path); hasFlags(flags) {
		_, _ = fmt.Fprint(w, "\nFlags:\n")
		flags.SetOutput(w)
		flags.PrintDefaults()
	}
	if c.help != "" {
		_, _ = fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(c.help))
	}
}
