// SPDX-License-Identifier: Apache-2.0

package tracertest

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/strobe-profiler/strobe/support/skip"
)

// BEAMPrograms are the subjects in Erlang and Elixir.
var BEAMPrograms = map[string]program{
	"beam":        {command: erlang("hive", "1")},
	"beam-deep":   {command: erlang("apiary", "2")},
	"beam-reload": {command: erlang("season", "2")},
	"elixir":      {command: elixir},
}

// erlang compiles and runs a module on a number of schedulers.
func erlang(module, schedulers string) func(testing.TB, string, string) []string {
	return func(t testing.TB, dir, _ string) []string {
		t.Helper()
		compileBEAM(t, Installed(t, "erlc"), "-o", dir, Source("beam", module+".erl"))
		return emulator(t, module, schedulers, dir)
	}
}

func elixir(t testing.TB, dir, _ string) []string {
	t.Helper()
	compileBEAM(t, Installed(t, "elixirc"), "-o", dir, Source("beam", "forge.ex"))
	elixirc, err := filepath.EvalSymlinks(Installed(t, "elixirc"))
	if err != nil {
		t.Fatal(err)
	}
	libraries, _ := filepath.Glob(filepath.Join(filepath.Dir(elixirc), "..", "lib", "elixir", "ebin"))
	if len(libraries) == 0 {
		skip.Because(t, "needs the libraries of Elixir")
	}
	return emulator(t, "Elixir.Forge", "1", dir, libraries[0])
}

func compileBEAM(t testing.TB, command ...string) {
	t.Helper()
	if b, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil { //nolint:gosec // a test program
		t.Fatalf("compile: %v\n%s", err, b)
	}
}

// emulator returns what runs main of a module, without the scripts that usually
// start the emulator and take their time to become it.
func emulator(t testing.TB, module, schedulers string, paths ...string) []string {
	t.Helper()
	erl, err := filepath.EvalSymlinks(Installed(t, "erl"))
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Dir(filepath.Dir(erl))
	found, _ := filepath.Glob(filepath.Join(root, "erts-*", "bin", "beam.smp"))
	if len(found) == 0 {
		skip.Because(t, "needs beam.smp below "+root)
	}
	bin := filepath.Dir(found[len(found)-1])
	args := []string{
		"BINDIR=" + bin, "ROOTDIR=" + root, "EMU=beam", "PROGNAME=erl",
		filepath.Join(bin, "beam.smp"), "-S", schedulers, "--", "-root", root, "-bindir", bin, "-progname", "erl",
		"--", "-home", t.TempDir(), "--", "-noshell",
	}
	for _, p := range paths {
		args = append(args, "-pa", p)
	}
	return append(args, "-run", module, "main")
}
