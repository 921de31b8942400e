// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"flag"
	"io"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/support/doctest"
	"github.com/strobe-profiler/strobe/support/golden"
)

// TestDocument holds docs/configure.md to the flags and commands.
func TestDocument(t *testing.T) {
	t.Parallel()
	var table []doctest.Flag
	c := Default()
	flags(&c, &actions{}, io.Discard).VisitAll(func(f *flag.Flag) {
		argument, help := flag.UnquoteUsage(f)
		row := doctest.Flag{
			Name: f.Name, Argument: argument, Env: envPrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_")),
			Default: f.DefValue, Help: help,
		}
		if f.DefValue == "false" {
			row.Default = ""
		}
		if isAction(f.Name) {
			row.Env = ""
		}
		row.Limits = doctest.Limits(f.Name, func(value string) error {
			c := Default()
			if err := flags(&c, &actions{}, io.Discard).Set(f.Name, value); err != nil {
				return err
			}
			return c.Validate()
		})
		table = append(table, row)
	})
	doctest.Generated(t, "docs/configure.md", "collectionagent", doctest.FlagTable(table), golden.Update())

	var help strings.Builder
	for _, name := range []string{
		"token create", "token list", "token rotate", "token revoke", "project create", "project list", "project remove",
		"backup", "restore", "verify", "inspect", "compact", "status",
	} {
		var out bytes.Buffer
		if status := run(append(strings.Fields(name), "-help"), nil, &out, &out); status != exitOK || out.Len() == 0 {
			t.Errorf("%s -help: status %d, %q", name, status, out.String())
		}
		text := strings.ReplaceAll(out.String(), "\t", "    ")
		// Said once, above all of them.
		help.WriteString("```text\n" + strings.Trim(strings.ReplaceAll(text, fileHelp, ""), "\n") + "\n```\n\n")
	}
	doctest.Generated(t, "docs/configure.md", "collectionagent commands", help.String(), golden.Update())
}
