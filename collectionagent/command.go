// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/auth"
)

// command is a subcommand: it gets what follows its name.
type command func(args, environ []string, stdout, stderr io.Writer) int

// findCommand returns the subcommand that the arguments start with.
func findCommand(args []string) (command, bool) {
	if len(args) == 0 {
		return nil, false
	}
	switch args[0] {
	case "version":
		return printVersion, true
	case "status":
		return statusCommand, true
	case "compact":
		return compactData, true
	case "token":
		return group(tokenUsage, map[string]command{
			"create": tokenCreate, "list": tokenList, "rotate": tokenRotate, "revoke": tokenRevoke,
		}), true
	case "project":
		return group(projectUsage, map[string]command{
			"create": projectCreate, "list": projectList, "remove": projectRemove,
		}), true
	case "ca":
		return authority, true
	case "backup":
		return backup, true
	case "restore":
		return restore, true
	case "verify":
		return verify, true
	case "inspect":
		return inspect, true
	}
	return nil, false
}

// group returns the command that is the first argument's.
func group(usage string, commands map[string]command) command {
	return func(args, environ []string, stdout, stderr io.Writer) int {
		if len(args) > 0 {
			if c, ok := commands[args[0]]; ok {
				return c(args[1:], environ, stdout, stderr)
			}
			switch args[0] {
			case "-h", "-help", "--help", "help":
				_, _ = io.WriteString(stdout, usage)
				return exitOK
			}
			_, _ = fmt.Fprintf(stderr, "unknown command %q\n\n", args[0])
		}
		_, _ = io.WriteString(stderr, usage)
		return exitUsage
	}
}

// fileHelp is part of the help of all commands.
const fileHelp = `
The file is auth.json in the data directory of the server, or what -auth-file
says; both settings may also come from the environment or the file of -config,
as for the server. A running server takes a change over within a second.
`

// commandFlags are the flags of a command, with those that find the file.
type commandFlags struct {
	*flag.FlagSet
	config Config
	file   string
	format string // of lists
	usage  string // the arguments in short
	help   string // behind the flags
	stderr io.Writer
}

func newCommandFlags(name, usage string, stderr io.Writer) *commandFlags {
	f := &commandFlags{FlagSet: flag.NewFlagSet(name, flag.ContinueOnError), config: Default(), format: "table", usage: usage, help: fileHelp, stderr: stderr}
	f.SetOutput(stderr)
	f.StringVar(&f.file, "config", "", "YAML `file` with settings of the server")
	f.StringVar(&f.config.DataDir, "data-dir", f.config.DataDir, "`directory` of the server's data")
	f.StringVar(&f.config.AuthFile, "auth-file", "", "`file` of projects and tokens (default auth.json in -data-dir)")
	f.Usage = func() {
		_, _ = fmt.Fprintf(stderr, "Usage: %s %s %s\n\nFlags:\n", program, name, usage)
		f.PrintDefaults()
		_, _ = io.WriteString(stderr, f.help)
	}
	return f
}

// parse reads arguments, of which so many as wanted have no flag, in any order,
// and settings. ok is false when the command is to end with status.
func (f *commandFlags) parse(args, environ []string, wanted int, what string) (operands []string, status int, ok bool) {
	for {
		if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
			return nil, exitOK, false
		} else if err != nil {
			return nil, exitUsage, false
		}
		if f.NArg() == 0 {
			break
		}
		operands, args = append(operands, f.Arg(0)), f.Args()[1:]
	}
	if len(operands) != wanted {
		problem := "expected " + what
		if len(operands) > wanted {
			problem = fmt.Sprintf("unexpected argument %q", operands[wanted])
		}
		return nil, f.misuse("%s", problem), false
	}
	if f.format != "table" && f.format != "json" {
		return nil, f.misuse("-o: %q is not a format: expected table or json", f.format), false
	}
	given := map[string]bool{}
	f.Visit(func(fl *flag.Flag) { given[fl.Name] = true })
	a := &actions{}
	settings := flags(&f.config, a, io.Discard)
	err := setFromEnv(settings, environ, given)
	if file := cmp.Or(f.file, a.configFile); file != "" {
		err = errors.Join(err, setFromFile(settings, file, given))
	}
	if err != nil {
		return nil, f.fail(err), false
	}
	return operands, exitOK, true
}

// fail prints an error.
func (f *commandFlags) fail(err error) int {
	_, _ = fmt.Fprintln(f.stderr, err)
	return exitFailure
}

// misuse prints what is wrong with the arguments, and where the help is.
func (f *commandFlags) misuse(format string, args ...any) int {
	_, _ = fmt.Fprintf(f.stderr, format+"\n", args...)
	_, _ = fmt.Fprintf(f.stderr, "Usage: %s %s %s; -help tells more\n", program, f.Name(), f.usage)
	return exitUsage
}

// hint prints a remark where it does not get into what programs read.
func (f *commandFlags) hint(format string, args ...any) {
	_, _ = fmt.Fprintf(f.stderr, format+"\n", args...)
}

// with returns the command with the flags that found the file, to type next.
func (f *commandFlags) with(command string) string {
	text := program + " " + command
	f.Visit(func(fl *flag.Flag) {
		switch fl.Name {
		case "config", "data-dir", "auth-file":
			text += " -" + fl.Name + " " + fl.Value.String()
		}
	})
	return text
}

// edit changes the file.
func (f *commandFlags) edit(change func(*auth.File) error) error {
	return auth.Edit(f.config.authFile(), change)
}

// read returns the file, an empty one if there is none.
func (f *commandFlags) read() (*auth.File, error) {
	file, err := auth.Read(f.config.authFile())
	if errors.Is(err, fs.ErrNotExist) {
		return &auth.File{}, nil
	}
	return file, err
}

// listFlag adds the flag of commands that list something.
func (f *commandFlags) listFlag() {
	f.StringVar(&f.format, "o", f.format, "`format`: table or json")
}

// writeList writes a list in the format of -o: as JSON, or as a table with a head,
// of whose rows cells returns the text.
func writeList[T any](w io.Writer, format string, rows []T, head []string, cells func(*T) []string) error {
	if format == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(rows)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, strings.Join(head, "\t"))
	for i := range rows {
		_, _ = fmt.Fprintln(t, strings.Join(cells(&rows[i]), "\t"))
	}
	return t.Flush()
}

// day returns a time for people, "never" for none.
func day(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04")
}
