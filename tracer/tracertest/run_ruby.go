// SPDX-License-Identifier: Apache-2.0

package tracertest

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/strobe-profiler/strobe/support/skip"
)

// rubyPrograms returns the subjects that run on Ruby, in as many versions of it as
// the host has.
func rubyPrograms() map[string]program {
	on := func(options []string, script string, args ...string) program {
		return program{
			command: func(t testing.TB, _, variant string) []string {
				t.Helper()
				path := rubies()[variant]
				if variant == "" {
					path = Installed(t, "ruby")
				}
				if len(options) > 0 {
					compiler := append(slices.Clone(options), "-e", "exit RubyVM::YJIT.enabled?")
					if exec.Command(path, compiler...).Run() != nil { //nolint:gosec // an interpreter
						skip.Because(t, "needs Ruby with a compiler")
					}
				}
				return slices.Concat([]string{path}, options, []string{Source("ruby", script)}, args)
			},
			variants: func() []string { return slices.Sorted(maps.Keys(rubies())) },
		}
	}
	yjit := []string{"--yjit"}
	return map[string]program{
		"ruby":               on(nil, "orchard.rb"),
		"ruby-yjit":          on(yjit, "orchard.rb"),
		"ruby-lagoon":        on(nil, "lagoon.rb"),
		"ruby-lagoon-yjit":   on(yjit, "lagoon.rb"),
		"ruby-dive900":       on(nil, "dive.rb", "900", "ruby"),
		"ruby-dive900-yjit":  on(yjit, "dive.rb", "900", "ruby"),
		"ruby-plunge90":      on(nil, "dive.rb", "90", "c"),
		"ruby-plunge90-yjit": on(yjit, "dive.rb", "90", "c"),
	}
}

var rubyName = regexp.MustCompile(`^(mini)?ruby(\d\.\d)?$`)

// rubies finds interpreters in the PATH and among those of rbenv, by a name that
// tells them apart. The one that every host has is left out.
func rubies() map[string]string {
	seen := map[string]bool{}
	if path, err := exec.LookPath("ruby"); err == nil {
		if target, err := filepath.EvalSymlinks(path); err == nil {
			seen[target] = true
		}
	}
	root := os.Getenv("RBENV_ROOT")
	if home, err := os.UserHomeDir(); root == "" && err == nil {
		root = filepath.Join(home, ".rbenv")
	}
	more, _ := filepath.Glob(filepath.Join(root, "versions", "*", "bin")) // the pattern is right
	out := map[string]string{}
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), more...) {
		files, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, f := range files {
			if !rubyName.MatchString(f.Name()) {
				continue
			}
			target, err := filepath.EvalSymlinks(filepath.Join(dir, f.Name()))
			if err != nil || seen[target] {
				continue
			}
			seen[target] = true
			name := f.Name()
			if slices.Contains(more, dir) {
				name = filepath.Base(filepath.Dir(dir))
			}
			if _, there := out[name]; !there {
				out[name] = target
			}
		}
	}
	return out
}
