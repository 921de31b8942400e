// SPDX-License-Identifier: Apache-2.0

//go:build linux

package arm64

import (
	"os/exec"
	"slices"

	"github.com/strobe-profiler/strobe/support/skip"
	"github.com/strobe-profiler/strobe/tracer/tracertest"
)

// program is a subject on a runtime that Debian has for arm64. There is one for each
// name of a thread: nothing else tells them apart in folded stacks.
type program struct {
	packages []string
	command  []string
	sources  []string // below tracertest's
}

var programs = map[string]program{
	"py":     {[]string{"python3.11-minimal", "libpython3.11-stdlib"}, []string{"/usr/bin/python3.11", "/opt/src/python/meadow.py"}, []string{"python"}},
	"perl":   {[]string{"perl"}, []string{"/usr/bin/perl", "/opt/src/perl/harbor.pl"}, []string{"perl"}},
	"ruby":   {[]string{"ruby3.1"}, []string{"/usr/bin/ruby3.1", "/opt/src/ruby/orchard.rb"}, []string{"ruby"}},
	"php":    {[]string{"php8.2-cli"}, []string{"/usr/bin/php8.2", "-d", "opcache.enable_cli=0", "/opt/src/php/bakery.php"}, []string{"php"}},
	"node":   {[]string{"nodejs"}, []string{"/usr/bin/node", "/opt/src/v8/river.js"}, []string{"v8"}},
	"luajit": {[]string{"luajit"}, []string{"/usr/bin/luajit", "/opt/src/luajit/pond.lua"}, []string{"luajit"}},
	"java17": {
		[]string{"openjdk-17-jre-headless"},
		[]string{"/usr/lib/jvm/java-17-openjdk-arm64/bin/java", "-XX:-Inline", "-cp", "/opt/java", "Mill"}, nil,
	},
}

// addRuntimes adds the programs of runtimes.
func (r *rig) addRuntimes(names []string) {
	r.t.Helper()
	var packages []string
	for _, name := range names {
		packages = append(packages, programs[name].packages...)
	}
	if len(packages) > 0 {
		r.packages(packages...)
	}
	for _, name := range names {
		p := programs[name]
		for _, s := range p.sources {
			if err := r.tree.Copy(tracertest.Source(s), "/opt/src/"+s); err != nil {
				r.t.Fatal(err)
			}
		}
		if name == "java17" {
			javac, err := exec.LookPath("javac")
			if err != nil {
				skip.Because(r.t, "needs javac")
			}
			out, err := exec.Command(javac, "--release", "17", "-d", r.tree.Path("opt/java"), tracertest.Source("hotspot", "Mill.java")).CombinedOutput() //nolint:gosec // a compiler
			if err != nil {
				r.t.Fatalf("javac: %v\n%s", err, out)
			}
		}
		r.add(name, subject{Args: append(slices.Clone(p.command), lasting), Says: true})
	}
}
