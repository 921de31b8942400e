// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"cmp"
	"flag"
	"slices"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/support/doctest"
	"github.com/strobe-profiler/strobe/support/golden"
)

// TestDocument holds docs/configure.md to the commands and their flags.
func TestDocument(t *testing.T) {
	t.Parallel()
	var list strings.Builder
	list.WriteString("| command | what |\n| --- | --- |\n")
	var rows []doctest.Flag
	commands := 0
	of := map[doctest.Flag][]string{}
	var walk func(path string, c *command)
	walk = func(path string, c *command) {
		if c.summary == "" {
			return // not for people
		}
		for _, below := range c.commands {
			walk(strings.TrimSpace(path+" "+below.name), below)
		}
		if c.setup == nil {
			return
		}
		commands++
		list.WriteString("| `" + strings.ReplaceAll(strings.TrimSpace(path+" "+c.operands), "|", "\\|") + "` | " + c.summary + " |\n")
		c.flags(path).VisitAll(func(f *flag.Flag) {
			argument, help := flag.UnquoteUsage(f)
			row := doctest.Flag{Name: f.Name, Argument: argument, Default: f.DefValue, Help: help}
			if f.DefValue == "false" {
				row.Default = ""
			}
			if of[row] == nil {
				rows = append(rows, row)
			}
			of[row] = append(of[row], path)
		})
	}
	walk("", root())
	all := 0
	for _, names := range of {
		all = max(all, len(names))
	}
	for i := range rows {
		names := of[rows[i]]
		if len(names) == all {
			rows[i].Of = "all that ask a server"
		} else {
			rows[i].Of = strings.Join(names, ", ")
		}
	}
	slices.SortStableFunc(rows, func(a, b doctest.Flag) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Of, b.Of)) })
	doctest.Generated(t, "docs/configure.md", "strobectl commands", list.String(), golden.Update())
	doctest.Generated(t, "docs/configure.md", "strobectl", doctest.FlagTable(rows), golden.Update())
}
