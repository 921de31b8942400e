// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"text/tabwriter"

	"github.com/strobe-profiler/strobe/proto/otlpcheck"
)

func otlpCommands() *command {
	return &command{
		name:     "otlp",
		summary:  "Check and convert profiles of OpenTelemetry.",
		commands: []*command{otlpCheckCommand(), otlpConvertCommand(), otlpRulesCommand()},
	}
}

// severity is a flag.
type severity struct{ otlpcheck.Severity }

// Set implements flag.Value.
func (s *severity) Set(text string) error { return s.UnmarshalText([]byte(text)) }

// format is the flag -o.
type format string

func (f *format) String() string { return string(*f) }

// Set implements flag.Value.
func (f *format) Set(text string) error {
	if text != "text" && text != "json" {
		return errors.New("expected text or json")
	}
	*f = format(text)
	return nil
}

func formatFlag(flags *flag.FlagSet) *format {
	f := format("text")
	flags.Var(&f, "o", "`format`: text or json")
	return &f
}

// checked is what was found in a file.
type checked struct {
	File string `json:"file"`
	*otlpcheck.Report
}

func otlpCheckCommand() *command {
	return &command{
		name:     "check",
		operands: "FILE...",
		summary:  "Check messages of profiles against the data model of OpenTelemetry.",
		help: `
FILE is an ExportProfilesServiceRequest or a ProfilesData (v1development), as
protocol buffer or JSON, plain or compressed with gzip or zstd; - is the standard
input. The status is 0 if all messages keep all rules and 1 if not. Errors are
what the texts of OpenTelemetry demand, warnings what they ask for; strobectl
otlp rules lists them.`,
		setup: func(flags *flag.FlagSet) func(*call) error {
			out := formatFlag(flags)
			least := severity{otlpcheck.Warning}
			flags.Var(&least, "severity", "least `severity` that is reported: warning or error (default warning)")
			perRule := flags.Int("per-rule", otlpcheck.DefaultPerRule, "show so many findings of a rule; all are counted")
			maxBytes := flags.Int64("max-bytes", otlpcheck.DefaultMaxBytes, "largest message in `bytes`, when it is decompressed")
			return func(in *call) error {
				switch {
				case len(in.args) == 0:
					return misuse("expected files, or - for the standard input")
				case *perRule < 1:
					return misuse("-per-rule: %d is too few: expected 1 or more", *perRule)
				case *maxBytes < 1:
					return misuse("-max-bytes: %d is too few: expected 1 or more", *maxBytes)
				}
				all := []checked{} // of JSON a list, also without files that could be read
				var unread error
				for _, name := range in.args {
					data, err := readFile(in, name, *maxBytes)
					if err != nil {
						unread = errors.Join(unread, err)
						continue
					}
					r := otlpcheck.CheckBytes(data, otlpcheck.Limits{MaxBytes: *maxBytes}, otlpcheck.Options{PerRule: *perRule, Least: least.Severity})
					all = append(all, checked{name, r})
				}
				if err := printChecked(in.stdout, all, *out); err != nil && unread == nil {
					return err
				}
				return unread
			}
		},
	}
}

// readFile reads a file, of which one byte more than allowed is enough.
func readFile(in *call, name string, maxBytes int64) ([]byte, error) {
	var data []byte
	var err error
	read := make(chan struct{})
	// A pipe may wait for ever, and knows nothing of Ctrl-C: then the goroutine is left
	// to the end of the program.
	go func() {
		defer close(read)
		data, err = readAll(in.stdin, name, maxBytes)
	}()
	select {
	case <-read:
	case <-in.ctx.Done():
		return nil, in.ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return data, nil
}

func readAll(r io.Reader, name string, maxBytes int64) ([]byte, error) {
	if name != "-" {
		f, err := os.Open(name) //nolint:gosec // the user says which
		if err != nil {
			if wrong, ok := errors.AsType[*fs.PathError](err); ok {
				err = wrong.Err // its name is told already
			}
			return nil, err
		}
		defer func() { _ = f.Close() }() // was only read
		r = f
	}
	return io.ReadAll(io.LimitReader(r, maxBytes+1))
}

func printChecked(w io.Writer, all []checked, as format) error {
	clean := true
	for _, c := range all {
		clean = clean && c.Errors+c.Warnings == 0
	}
	if as == "json" {
		if err := printJSON(w, all); err != nil {
			return err
		}
	} else if err := printText(w, all); err != nil {
		return err
	}
	if !clean {
		return errFindings
	}
	return nil
}

// counted returns a number of things, as "1 error" or "2 errors".
func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

func printText(w io.Writer, all []checked) error {
	for _, c := range all {
		holds := fmt.Sprintf("%s in %s of %s", counted(c.Samples, "sample"), counted(c.Profiles, "profile"), counted(c.Resources, "resource"))
		if c.Errors+c.Warnings == 0 {
			if _, err := fmt.Fprintf(w, "%s: ok: %s\n", c.File, holds); err != nil {
				return err
			}
			continue
		}
		if _, err := fmt.Fprintf(w, "%s: %s, %s: %s\n", c.File, counted(c.Errors, "error"), counted(c.Warnings, "warning"), holds); err != nil {
			return err
		}
		shown := map[string]int{}
		for _, f := range c.Findings {
			shown[f.Rule]++
			if _, err := fmt.Fprintf(w, "  %s\n", f); err != nil {
				return err
			}
		}
		for _, r := range otlpcheck.Rules() {
			if more := c.Counts[r.Name] - shown[r.Name]; more > 0 {
				if _, err := fmt.Fprintf(w, "  %s %s: %d more\n", r.Severity, r.Name, more); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func otlpRulesCommand() *command {
	return &command{
		name:    "rules",
		summary: "List the rules of otlp check.",
		setup: func(flags *flag.FlagSet) func(*call) error {
			out := formatFlag(flags)
			return func(in *call) error {
				if len(in.args) > 0 {
					return misuse("unexpected argument %q", in.args[0])
				}
				if *out == "json" {
					return printJSON(in.stdout, otlpcheck.Rules())
				}
				t := tabwriter.NewWriter(in.stdout, 0, 0, 2, ' ', 0)
				for _, r := range otlpcheck.Rules() {
					_, _ = fmt.Fprintf(t, "%s\t%s\t%s\n", r.Name, r.Severity, r.Text) // Flush tells
				}
				return t.Flush()
			}
		},
	}
}
