// SPDX-License-Identifier: Apache-2.0

package tracertest

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// luajitPrograms returns the subjects that run on LuaJIT, with and without its
// compiler, in as many versions as lie in /opt.
func luajitPrograms() map[string]program {
	on := func(script string, options ...string) program {
		return program{
			command: func(t testing.TB, _, variant string) []string {
				t.Helper()
				luajit := luajits()[variant]
				if variant == "" {
					luajit = Installed(t, "luajit")
				}
				return slices.Concat([]string{luajit}, options, []string{Source("luajit", script)})
			},
			variants: func() []string {
				var out []string
				for v := range luajits() {
					out = append(out, v)
				}
				slices.Sort(out)
				return out
			},
		}
	}
	return map[string]program{
		"luajit":            on("pond.lua"),
		"luajit-off":        on("pond.lua", "-joff"),
		"luajit-lagoon":     on("lagoon.lua"),
		"luajit-lagoon-off": on("lagoon.lua", "-joff"),
	}
}

// luajits returns further versions on the host, by their names.
func luajits() map[string]string {
	out := map[string]string{}
	found, _ := filepath.Glob("/opt/luajit*/bin/luajit")
	for _, path := range found {
		out[strings.TrimPrefix(filepath.Base(filepath.Dir(filepath.Dir(path))), "luajit-")] = path
	}
	return out
}
