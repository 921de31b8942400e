// SPDX-License-Identifier: Apache-2.0

package tracertest

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/support/skip"
)

// program is a subject that runs on a runtime.
type program struct {
	// command returns what runs it, variables of the environment first (KEY=value),
	// without the seconds that it is to run: those are added. What must be compiled is compiled into dir. It skips the test,
	// with a reason, when the runtime is not there.
	command func(t testing.TB, dir, variant string) []string
	// variants lists versions of the runtime that this host has beyond the one
	// that every host of the tests has; nil for none.
	variants func() []string
	// onlyVariants is set when the version that every host has cannot run it.
	onlyVariants bool
}

// programs holds the subjects of all runtimes. Each has a file of its own here,
// run_<runtime>.go, a file of expectations, testdata/<runtime>.json, and its
// sources in testdata/src/<runtime>.
func programs() map[string]program {
	all := map[string]program{}
	for _, of := range []map[string]program{
		BEAMPrograms,
		dotnetPrograms(),
		HotSpotPrograms,
		luajitPrograms(),
		perlPrograms(),
		PHPPrograms,
		pythonPrograms(),
		rubyPrograms(),
		v8Programs(),
	} {
		maps.Copy(all, of)
	}
	return all
}

// OnRuntime reports whether a subject, or a variant of one, runs on a runtime.
func OnRuntime(name string) bool {
	base, _, _ := strings.Cut(name, "@")
	_, ok := programs()[base]
	return ok
}

// Variants returns the names under which a subject can be started: its own, and
// "name@version" for each further version of its runtime that this host has.
func Variants(name string) []string {
	out := []string{name}
	if p, ok := programs()[name]; ok && p.variants != nil {
		if p.onlyVariants {
			out = nil
		}
		for _, v := range p.variants() {
			out = append(out, name+"@"+v)
		}
	}
	return out
}

// Installed returns the path of a program that the host has, or skips the test.
func Installed(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		skip.Because(t, "needs "+name)
	}
	return path
}

// Fetched returns a path below bin/runtimes at the root of the project, where
// support/test-runtimes.sh puts runtimes that no package has, or skips the test.
func Fetched(t testing.TB, elem ...string) string {
	t.Helper()
	path := filepath.Join(append([]string{runtimesDir()}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		skip.Because(t, "needs "+filepath.Join(elem...)+" from support/test-runtimes.sh")
	}
	return path
}

func runtimesDir() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "bin", "runtimes")
}

// Source returns the path of a subject's source.
func Source(elem ...string) string { return filepath.Join(append([]string{sources()}, elem...)...) }
