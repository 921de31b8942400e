// SPDX-License-Identifier: Apache-2.0

package config

import (
	"flag"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/support/doctest"
	"github.com/strobe-profiler/strobe/support/golden"
)

// TestDocument holds docs/configure.md to the settings.
func TestDocument(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	c := Default()
	for _, g := range c.groups() {
		var flags []doctest.Flag
		for i := range g.options {
			o := &g.options[i]
			f := doctest.Flag{Name: o.name, Alias: o.alias, Argument: o.argument, Env: o.env(), Default: o.String(), Help: o.help}
			if o.isBool {
				f.Default = ""
			}
			f.Limits = doctest.Limits(o.name, func(value string) error {
				c := Default()
				if err := c.options()[o.name].Set(value); err != nil {
					return err
				}
				return c.Validate()
			})
			flags = append(flags, f)
		}
		b.WriteString("**" + g.title + "**\n\n" + doctest.FlagTable(flags) + "\n")
	}
	modes := flag.NewFlagSet("", flag.ContinueOnError)
	new(Modes).flags(modes)
	var names []string
	modes.VisitAll(func(f *flag.Flag) { names = append(names, "`-"+f.Name+"`") })
	b.WriteString("Not settings, and on the command line only, but for the file (`" + EnvPrefix + "CONFIG`): " + strings.Join(names, ", ") + ".\n")
	doctest.Generated(t, "docs/configure.md", "agent", b.String(), golden.Update())
}
